// Reads the places through the official Node client: by id, by prefix, and all of them as a stream; counts them.
// node cities.cjs URL DATABASE NODE_MODULES EXPECTED
const path = require("path");
const [url, database, modules, expected] = process.argv.slice(2);
const { DocumentStore } = require(path.join(modules, "ravendb"));

async function main() {
    const store = new DocumentStore(url, database);
    store.initialize();
    const session = store.openSession();
    const page = await session.advanced.loadStartingWith("cities/1", { pageSize: 50 });
    if (page.length !== 50) throw new Error(`prefix cities/1: ${page.length} documents, expected 50`);
    const one = await session.load(page[0].id);
    if (one.name !== page[0].name) throw new Error("a document read twice differs");

    let count = 0;
    let named = 0;
    const stream = await session.advanced.stream("cities/");
    await new Promise((resolve, reject) => {
        stream.on("data", (item) => {
            count += 1;
            if (item.document.name && item.document.country) named += 1;
        });
        stream.on("end", resolve);
        stream.on("error", reject);
    });
    if (count !== Number(expected)) throw new Error(`streamed ${count} documents, expected ${expected}`);
    if (named !== count) throw new Error(`${count - named} documents came without name or country`);
    store.dispose();
    console.log(`Node client: ${count} documents streamed, loaded by id and by prefix`);
}

main().catch((error) => {
    console.error(error);
    process.exit(1);
});
