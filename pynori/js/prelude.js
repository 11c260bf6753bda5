// The inside of a context: what scripts may call, and the one function through which Python reaches them.
//
// The value of this file is `host(operation, text)`: text in, text out, nothing else crosses. `define` takes the sources
// of a program and compiles them, `run` and `run_exact` call it once. Nothing of Python is visible in here, and nothing in
// here is visible to scripts but the functions given at the end, which they cannot replace.
//
// What a script writes or asks for is only noted down. A document that `load` does not find among those that came with
// the call is asked for; the answer of a call that asked is thrown away, and it is repeated with what it asked for.
//
// `run_exact` keeps the text of numbers that JavaScript cannot hold (integers beyond 2^53) or would spell otherwise (1.0):
// a number that the script leaves where it was, and a great integer wherever it went, is written as it came.
(function () {
'use strict';
const OUTPUT_CHARACTERS_MAX = 1048576;
const WRITES_MAX = 10000;
const INCLUDES_MAX = 10000;
// What the engine throws when it has no memory left even for an error.
const OUT_OF_MEMORY = 'InternalError: out of memory, or null was thrown';
const parse = JSON.parse, stringify = JSON.stringify, evaluate = eval;

let program = null;   // compiled: call(input) -> text
let call = null;      // what the running call has noted
let exact = null;     // of the running call when it is exact

// ---- numbers

function remember(key, value, context) {
  if (typeof value === 'number' && String(value) !== context.source) {
    let texts = exact.texts.get(this);
    if (texts === undefined) exact.texts.set(this, texts = new Map());
    texts.set(key, context.source);
    if (Math.abs(value) >= 2 ** 53) exact.integers.set(value, context.source);
  }
  return value;
}

function restore(key, value) {
  if (typeof value !== 'number') return value;
  const texts = exact.texts.get(this);
  let text = texts === undefined ? undefined : texts.get(key);
  if (text === undefined || !Object.is(Number(text), value)) text = exact.integers.get(value);
  return text === undefined ? value : exact.mark + text;
}

function read(text) {
  return exact === null ? parse(text) : parse(text, remember);
}

function write(value) {
  const text = exact === null ? stringify(value) : stringify(value, restore);
  if (text === undefined) return 'null';
  return exact === null ? text : text.replace(exact.pattern, '$1');
}

function exactness() {
  const nonce = Math.random().toString(36).slice(2);
  return {
    texts: new Map(), integers: new Map(), mark: '\u0000' + nonce + ':',
    pattern: new RegExp('"\\\\u0000' + nonce + ':([-+.0-9eE]+)"', 'g'),
  };
}

// ---- what scripts call

function id(document) {
  if (document === null || typeof document !== 'object') return null;
  const known = call.ids.get(document);
  if (known !== undefined) return known;
  const metadata = document['@metadata'];
  return metadata && typeof metadata['@id'] === 'string' ? metadata['@id'] : null;
}

function getMetadata(document) {
  if (document === null || typeof document !== 'object') throw new TypeError('getMetadata(doc) takes a document');
  if (!document['@metadata']) document['@metadata'] = {};
  return document['@metadata'];
}

function find(id, collection, tracked) {
  if (id === null || id === undefined || id === '') return null;
  if (Array.isArray(id)) return id.map(one => find(one, collection, tracked));
  if (typeof id !== 'string') throw new TypeError('load(id) takes a string or an array of strings');
  if (tracked) call.references.set(id, typeof collection === 'string' ? collection : null);
  const written = call.written.get(id.toLowerCase());
  if (written !== undefined) return written === null ? null : named(read(written), id);
  if (!Object.hasOwn(call.loaded, id)) {
    call.asked.add(id);
    return null;
  }
  const found = call.loaded[id];
  return found === null ? null : named(found, id);
}

function named(document, id) {
  const metadata = document['@metadata'];
  call.ids.set(document, metadata && metadata['@id'] || id);
  return document;
}

function load(id, collection) {
  return find(id, collection, true);
}

function loadPath(document, path) {
  if (document === null || typeof document !== 'object') throw new TypeError('loadPath(doc, path) takes a document');
  let values = [document];
  for (const part of String(path).split('.')) {
    const name = part.endsWith('[]') ? part.slice(0, -2) : part;
    values = values.flatMap(value => value === null || typeof value !== 'object' ? [] : value[name] ?? []);
  }
  const ids = values.filter(value => typeof value === 'string');
  return String(path).includes('[]') || ids.length > 1 ? load(ids) : load(ids[0]);
}

function note(kind, id, expected, text) {
  if (typeof id !== 'string') throw new TypeError(kind + '(id) takes a string');
  if (call.writes.length >= WRITES_MAX) throw new RangeError('a script writes at most ' + WRITES_MAX + ' documents');
  call.writes.push('[' + stringify(kind) + ',' + stringify(id) + ',' +
    (typeof expected === 'string' ? stringify(expected) : 'null') + ',' + text + ']');
  call.written.set(id.toLowerCase(), kind === 'put' ? text : null);
}

function put(id, document, expected) {
  if (document === null || typeof document !== 'object' || Array.isArray(document))
    throw new TypeError('put(id, doc) takes an object to store');
  note('put', id ?? '', expected, write(document));
  return id;
}

function del(id, expected) {
  note('del', id, expected, 'null');
}

// What a result of a query is to bring along. Ids and keys may come in arrays; what is none is passed over.
function noteIncluded(kind, values) {
  for (const value of values.flat(Infinity)) {
    if (typeof value !== 'string' || value === '') continue;
    if (call.includes.length >= INCLUDES_MAX) throw new RangeError('a script includes at most ' + INCLUDES_MAX + ' items');
    call.includes.push([kind, value]);
  }
}

function include(...ids) {
  noteIncluded('document', ids);
}

const includes = Object.freeze({ document: include, cmpxchg: (...keys) => noteIncluded('cmpxchg', keys) });

function output(...values) {
  const line = values.map(value => typeof value === 'string' ? value : write(value)).join(' ');
  call.output_characters += line.length;
  if (call.output_characters > OUTPUT_CHARACTERS_MAX)
    throw new RangeError('a script puts out at most ' + OUTPUT_CHARACTERS_MAX + ' characters');
  call.output.push(line);
}

function createField(name, value, options) {
  return { $name: name, $value: value ?? null, $options: options ?? null };
}

function boost(value, factor) {
  return { $value: value ?? null, $boost: factor };
}

function createSpatialField(latitude, longitude) {
  if (longitude === undefined) return { $spatial: latitude ?? null };
  return { $spatial: [latitude ?? null, longitude ?? null] };
}

const listed = name => document => {
  const metadata = document && document['@metadata'];
  return metadata && metadata[name] || [];
};

// ---- compiling

// Sources start at this line or below, so that a line of a stack trace tells a script's own from those of this file.
const FIRST_LINE = 1001;
const REPAIRS_MAX = 100;
const spans = [];       // {first, last, text}: lines that each source of this context stands on, and which text it is
let texts = [];         // of the program: its sources, then its names

// parts: what stands around the sources and the sources in turn, each on lines of its own.
function compile(parts) {
  const base = spans.length === 0 ? FIRST_LINE : spans[spans.length - 1].last + 2;
  let line = base;
  parts.forEach((part, index) => {
    const count = part.split('\n').length;
    if (index % 2 === 1) spans.push({ first: line, last: line + count - 1, text: texts.indexOf(part) });
    line += count;
  });
  const padding = '\n'.repeat(base - 1);
  let text = parts.join('\n');
  for (let repairs = 0; ; repairs++) {
    try {
      return evaluate(padding + text);
    } catch (error) {
      const repaired = error instanceof SyntaxError && repairs < REPAIRS_MAX ? repair(text, error, base) : null;
      if (repaired === null) throw error;
      text = repaired;
    }
  }
}

// Where in a source an error was raised, or null.
function position(error) {
  for (const match of String(error.stack ?? '').matchAll(/<input>:(\d+):(\d+)/g)) {
    const line = Number(match[1]);
    const span = spans.find(({ first, last }) => first <= line && line <= last);
    if (span !== undefined) return { line: line - span.first + 1, column: Number(match[2]), text: span.text };
  }
  return null;
}

// The one mistake that is mended: no comma between two properties of an object literal that stand on two lines.
function repair(text, error, base) {
  const match = /<input>:(\d+):(\d+)/.exec(error.stack);
  if (match === null || !/^unexpected (identifier|string)/i.test(error.message)) return null;
  const lines = text.split('\n');
  const number = Number(match[1]) - base;
  const property = /^(\s*)(?:[A-Za-z_$\x80-\uffff][\w$\x80-\uffff]*|'[^']*'|"[^"]*")\s*:/.exec(lines[number] ?? '');
  if (property === null || Number(match[2]) - 1 !== property[1].length) return null;
  let previous = number - 1;
  while (previous >= 0 && lines[previous].trim() === '') previous--;
  if (previous < 0 || lines[previous].includes('//')) return null;
  lines[previous] += ',';
  return lines.join('\n');
}

// A function of the arguments that gives `function(names) { before body after }`; declared functions stand beside it.
function within(declared, names, before, body, after) {
  const constants = new Set();
  for (const source of [...declared, body])
    for (const match of source.matchAll(/\$([A-Za-z_][A-Za-z_0-9]*)/g)) constants.add(match[1]);
  const head = '(function(args){"use strict";' + [...constants].map(name => `const $${name}=args.${name};`).join('');
  const parts = [head];
  for (const source of declared) parts.push(source, '');
  parts[parts.length - 1] += 'return function(' + names.join(',') + '){' + before;
  return compile([...parts, body, after + '}})']);
}

// ---- kinds of programs

const kinds = {
  // sources: [script, declared functions...]; names: of `this`, then of the documents beside it
  patch(sources, names) {
    const [script, ...declared] = sources;
    const make = within(declared, names, '', script, '');
    return input => {
      const self = prepared(input);
      make(input.args).call(self, self, ...beside(input, self));
      return '"document":' + write(self);
    };
  },

  // sources: [expression, declared functions...]; names as in patch
  project(sources, names) {
    const [expression, ...declared] = sources;
    const make = within(declared, names, 'return(', expression, ')');
    return input => {
      const self = prepared(input);
      return '"value":' + write(make(input.args).call(self, self, ...beside(input, self)));
    };
  },

  // sources: [statements over the versions of one document]
  resolve(sources) {
    const make = within([], ['docs', 'hasTombstone', 'resolveToTombstone'], '', sources[0], '');
    const tombstone = Object.freeze({});
    return input => {
      const merged = make({}).call(undefined, input.docs, input.has_tombstone, tombstone);
      return '"value":' + (merged === tombstone ? 'true' : write(merged ?? null));
    };
  },

  // sources: maps; names: additional sources, which are programs beside them
  map(sources, additional) {
    const maps = sources.map(source => defined(source, additional, 'map'));
    return {
      describe: maps.map(({ source, collections, name }) => ({ source, collections, name })),
      run: input => {
        const entries = [];
        for (const map of maps) {
          if (!maps_item(map, input)) continue;
          const made = map.run(map.source === 'Documents' ? prepared(input) : item(map.source, input.self));
          for (const entry of Array.isArray(made) ? made : [made])
            if (entry !== null && typeof entry === 'object') entries.push(write(entry));
        }
        return '"entries":[' + entries.join(',') + ']';
      },
    };
  },

  // sources: [reduce]; names: additional sources
  reduce(sources, additional) {
    const { key, aggregate } = defined(sources[0], additional, 'reduce');
    return input => {
      if (input.keys) return '"keys":' + stringify(input.values.map(value => write(ordered(key(value)))));
      const made = aggregate({ key: key(input.values[0]), values: input.values });
      return '"value":' + write(made);
    };
  },
};

function prepared(input) {
  if (input.id !== null) call.ids.set(input.self, input.id);
  return input.self;
}

// The documents beside the first: they came with the call, or paths within the first one lead to them.
function beside(input, self) {
  return input.paths ? input.paths.map(path => loadPath(self, path)) : input.beside;
}

function ordered(value) {
  if (value === null || typeof value !== 'object' || Array.isArray(value) || value instanceof Date) return value ?? null;
  return Object.fromEntries(Object.keys(value).sort().map(name => [name, ordered(value[name])]));
}

function maps_item(map, input) {
  if (map.name !== null && input.name !== null && map.name.toLowerCase() !== input.name.toLowerCase()) return false;
  if (map.collections === null) return true;
  const metadata = input.self['@metadata'];
  const collection = input.collection ?? (metadata && metadata['@collection']) ?? '@empty';
  return map.collections.some(name => name.toLowerCase() === collection.toLowerCase());
}

function item(source, value) {
  if (source === 'TimeSeries')
    for (const entry of value.Entries ?? []) entry.Timestamp = new Date(entry.Timestamp);
  return value;
}

// What a definition's text says when it runs: `map(...)` and the like note themselves down here.
let definition = null;

function defined(source, additional, wanted) {
  definition = { maps: [], reduce: null };
  try {
    compile(['(function(){"use strict";', ...additional.flatMap(text => [text, '']), source, '})'])();
    const found = wanted === 'map' ? definition.maps[0] : definition.reduce;
    if (!found)
      throw new SyntaxError(wanted === 'map' ? "the text of a map must call map('Collection', function)"
        : 'the text of a reduce must be groupBy(function).aggregate(function)');
    if (definition.maps.length > 1) throw new SyntaxError('the text of a map must call map(...) once');
    if (wanted === 'reduce' && !found.aggregate) throw new SyntaxError('groupBy(...) lacks .aggregate(function)');
    return found;
  } finally {
    definition = null;
  }
}

function mapping(source, with_name) {
  return function map(...given) {
    if (definition === null) throw new TypeError('map(...) belongs to the text of an index');
    const run = given.pop();
    if (typeof run !== 'function') throw new TypeError('the last argument of map(...) must be a function');
    let collections = given.shift() ?? null;
    if (collections !== null) collections = Array.isArray(collections) ? collections.map(String) : [String(collections)];
    const name = with_name && given.length ? String(given.shift()) : null;
    definition.maps.push({ source, collections, name, run });
  };
}

function groupBy(key) {
  if (definition === null) throw new TypeError('groupBy(...) belongs to the text of an index');
  if (typeof key !== 'function') throw new TypeError('groupBy(...) takes a function');
  const reduce = definition.reduce = { key, aggregate: null };
  return {
    aggregate(aggregate) {
      if (typeof aggregate !== 'function') throw new TypeError('aggregate(...) takes a function');
      reduce.aggregate = aggregate;
    },
  };
}

// ---- the door

function failure(error) {
  let message = '', at = null;   // at: where in which text
  try {
    message = error instanceof Error ? error.name + ': ' + error.message
      : typeof error === 'string' ? error
      : error === null ? OUT_OF_MEMORY : 'thrown: ' + stringify(error);
    if (error instanceof Error) at = position(error);
  } catch {
    message = message || 'a value was thrown that cannot be shown';
  }
  return stringify({ error: message, ...(at ?? { line: 0, column: 0, text: -1 }) });
}

function define(text) {
  const { kind, sources, names } = parse(text);
  texts = [...sources, ...names];
  const made = kinds[kind](sources, names);
  program = typeof made === 'function' ? made : made.run;
  return stringify({ described: made.describe ?? null });
}

function run(text) {
  const input = read(text);
  call = {
    ids: new WeakMap(), loaded: input.loaded ?? {}, asked: new Set(), references: new Map(), writes: [],
    written: new Map(), includes: [], output: [], output_characters: 0,
  };
  let answer;
  try {
    answer = program(input);
  } catch (error) {
    if (call.asked.size === 0) throw error;   // else: very likely for want of what it asked for
  }
  if (call.asked.size > 0) return '{"asked":' + stringify([...call.asked]) + '}';
  const parts = ['{', answer];
  if (call.writes.length > 0) parts.push(',"writes":[', call.writes.join(','), ']');
  if (call.references.size > 0) parts.push(',"references":', stringify([...call.references]));
  if (call.includes.length > 0) parts.push(',"includes":', stringify(call.includes));
  if (call.output.length > 0) parts.push(',"output":', stringify(call.output));
  parts.push('}');
  return parts.join('');   // one flat string: sums of long strings are ropes, which Python cannot take
}

const give = (name, value) => Object.defineProperty(globalThis, name, { value });
for (const name of ['Atomics', 'SharedArrayBuffer', 'performance', 'WeakRef', 'FinalizationRegistry', 'queueMicrotask'])
  delete globalThis[name];
give('id', id);
give('getMetadata', getMetadata);
give('load', load);
give('loadPath', loadPath);
give('noTracking', Object.freeze({ load: id => find(id, null, false) }));
give('put', put);
give('del', del);
give('include', include);
give('includes', includes);
give('output', output);
give('console', Object.freeze({ log: output }));
give('createField', createField);
give('createSpatialField', createSpatialField);
give('boost', boost);
give('attachmentsFor', listed('@attachments'));
give('counterNamesFor', listed('@counters'));
give('timeSeriesNamesFor', listed('@timeseries'));
give('map', mapping('Documents', false));
give('counters', Object.freeze({ map: mapping('Counters', true) }));
give('timeSeries', Object.freeze({ map: mapping('TimeSeries', true) }));
give('groupBy', groupBy);
// With it a script would get hold of the functions that are on the stack, those of this file among them.
Object.defineProperty(Error, 'prepareStackTrace', { value: undefined });
// Dates are written as the database writes them, with seven digits of a second.
Object.defineProperty(Date.prototype, 'toJSON', {
  value() { return isNaN(this) ? null : this.toISOString().slice(0, -1) + '0000Z'; },
});

return function host(operation, text) {
  exact = operation === 'run_exact' ? exactness() : null;
  try {
    return operation === 'define' ? define(text) : run(text);
  } catch (error) {
    return failure(error);
  } finally {
    call = exact = null;
  }
};
})()
