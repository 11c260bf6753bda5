"""Ways out of the sandbox that have been tried elsewhere: none finds anything of the host."""

from __future__ import annotations

import json

import pytest

from pynori.errors import JavaScriptError
from pynori.js.engine import Call, Program, ScriptEngine, ScriptLimits

# Each is an expression; what it gives may hold nothing but values of the language.
ATTEMPTS = [
    "Object.getOwnPropertyNames(globalThis).filter(n => /host|python|std|os|process|require|import|file/i.test(n))",
    "this.constructor.constructor('return typeof process + typeof require + typeof host')()",
    "load.constructor('return this')().__proto__ === Object.prototype ? '' : typeof host",
    "(async () => {}).constructor('return typeof host')().then ? '' : 'x'",
    "(function* () {}).constructor('yield typeof host')().next().value",
    "new Function('return typeof call + typeof program + typeof exact + typeof definition')()",
    "(0, eval)('typeof call + typeof program + typeof kinds + typeof host')",
    "[load, put, del, output, id, map, groupBy].map(f => f.caller || f.arguments || '').join('')",
    "[load, put, del, output, id, map, groupBy].map(f => /nonce|evaluate/.test(f.toString())).join('')",
    "JSON.stringify(Reflect.ownKeys(load.prototype).concat(Reflect.ownKeys(noTracking.load.prototype ?? {})))",
    "Reflect.ownKeys(noTracking).join()",
    "Object.isFrozen(noTracking) && Object.isFrozen(console) && Object.isFrozen(counters)",
    "(() => { try { load(Symbol('x')) } catch (e) { return e.constructor === TypeError } })()",
    "(() => { try { null.x() } catch (e) { return e.constructor.constructor('return typeof host')() } })()",
    "(() => { const e = new Error(); e.name = { toString() { return typeof host } }; return String(e) })()",
    "(() => { try { Error.prepareStackTrace = (e, frames) => frames } catch {} return typeof new Error().stack })()",
    "(() => { const e = {}; Error.captureStackTrace(e); return typeof e.stack })()",
    "Reflect.defineProperty(Error, 'prepareStackTrace', { value: (e, frames) => frames })",
    "(() => { let seen = ''; Object.defineProperty(Object.prototype, 'ids', { configurable: true,"
    " set(v) { seen = typeof v } }); id({}); delete Object.prototype.ids; return seen })()",
    "(() => { const p = new Proxy({}, { get(t, k) { return k === '@metadata' ? { '@id': 'x' } : t[k] } });"
    " return id(p) })()",
    "(() => { Array.prototype.push = function (x) { globalThis.stolen = typeof x; return 0 }; put('a', {});"
    " delete globalThis.stolen; return '' })()",
    "(() => { Map.prototype.get = function () { return 'x' }; return load('q') === null || 'taken' })()",
    "(() => { JSON.parse = () => 1; JSON.stringify = () => 2; return 'z' })()",
    "(() => { String.prototype.toLowerCase = () => { throw 1 }; return 'z' })()",
    "Object.getOwnPropertyDescriptor(globalThis, 'load').writable === false",
    "Reflect.defineProperty(globalThis, 'load', { value: 1 }) === false",
    "delete globalThis.constructor || true",
    "(() => { try { delete globalThis.put; return 'gone' } catch (e) { return '' } })()",
    "typeof WebAssembly + typeof Worker + typeof importScripts + typeof XMLHttpRequest + typeof Deno + typeof Bun",
    "typeof __dirname + typeof module + typeof exports + typeof Java + typeof System + typeof Packages",
    "typeof setTimeout + typeof setInterval + typeof queueMicrotask + typeof scriptArgs + typeof print",
    "JSON.stringify(import('os'))",
    "Function.prototype.toString.call(load).length > 0",
    "new Intl.Collator().compare('a', 'b')",
    "(() => { class A extends load {} return JSON.stringify(new A()) })()",
    "Reflect.construct(load, ['x'])",
    "load.call({ ids: 1 }, 'x') === null",
    "Array.from({ length: 3 }, put)",
    "structuredClone(load)",
]


@pytest.mark.parametrize("attempt", ATTEMPTS)
def test_nothing_is_found(attempt: str) -> None:
    """The attempt gives values of the language or fails, and the next program in the process is sound."""
    engine = ScriptEngine(ScriptLimits(time_ms=300))
    call = Call("run", json.dumps({"self": {}, "id": "a", "args": {}, "beside": [], "loaded": {"q": None, "x": None}}))
    try:
        (answer,) = engine.run(Program("project", (attempt,)), [call])
    except JavaScriptError as refused:
        answer = refused  # it does not compile
    if isinstance(answer, bytes):
        text = answer.decode()
        assert "function" not in text and "object" not in text.replace("[object", ""), text
        assert not any(word in text for word in ("gone", "nonce", "python", "stolen")), text
    (sound,) = engine.run(Program("project", ("[load('q'), id(this), JSON.stringify({a: [1]})]",)), [call])
    assert sound == b'{"value":[null,"a","{\\"a\\":[1]}"],"references":[["q",null]]}'


def test_functions_of_the_stack_stay_hidden() -> None:
    """No way of looking at a stack gives the functions on it."""
    engine = ScriptEngine()
    script = """
        const seen = [];
        try { Error.prepareStackTrace = (e, frames) => { seen.push(frames); return frames } } catch {}
        Reflect.set(Error, 'prepareStackTrace', (e, frames) => { seen.push(frames); return frames });
        const holder = {};
        Error.captureStackTrace(holder);
        for (const stack of [new Error().stack, holder.stack]) if (typeof stack !== 'string') seen.push(stack);
        try { load(5) } catch (e) { if (typeof e.stack !== 'string') seen.push(e.stack) }
        this.seen = seen.length"""
    call = Call("run", '{"self":{},"id":"a","args":{},"beside":[]}')
    assert engine.run(Program("patch", (script,)), [call]) == [b'{"document":{"seen":0}}']


def test_promises_never_go_on() -> None:
    """Nothing asynchronous happens after the call."""
    engine = ScriptEngine()
    call = Call("run", '{"self":{},"id":"a","args":{},"beside":[]}')
    script = "Promise.resolve().then(() => { while (true) {} }); (async () => { await 1; put('a', {}) })()"
    program = Program("patch", (script,))
    for _ in range(2):
        assert engine.run(program, [call]) == [b'{"document":{}}']
