// The official Node client for walkthroughs: `node client.cjs`, with one JSON order a line on standard input and one JSON
// answer a line on standard output. Orders: {open: [urls], database}, {save: id, title}, {load: id, times}.
// The folder with the client is named by PYNORI_NODE_MODULES.
'use strict';
const path = require('path');
const readline = require('readline');
const { DocumentStore } = require(path.join(process.env.PYNORI_NODE_MODULES, 'ravendb'));

let store = null;

async function perform(order) {
  if (order.open) {
    store = new DocumentStore(order.open, order.database);
    store.initialize();
    return {};
  }
  for (let time = 0; time < (order.times ?? 1); time++) {
    const session = store.openSession();
    if (order.save) {
      await session.store({ Title: order.title, '@metadata': { '@collection': 'Chores' } }, order.save);
      await session.saveChanges();
    } else if ((await session.load(order.load)) === null) {
      throw new Error(`${order.load} is not there`);
    }
  }
  return {};
}

async function main() {
  for await (const line of readline.createInterface({ input: process.stdin })) {
    let answer;
    try {
      answer = await perform(JSON.parse(line));
    } catch (error) {
      answer = { error: String(error) };
    }
    process.stdout.write(JSON.stringify(answer) + '\n');
  }
}

// Timers of the store would keep the process.
main().then(() => process.exit(0));
