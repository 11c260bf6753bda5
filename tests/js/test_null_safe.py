"""Which accesses become optional, and that sound scripts stay sound."""

from __future__ import annotations

import itertools
import json
import random

import pytest
import quickjs

from pynori.js.null_safe import null_safe


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("a.b.c", "a?.b?.c"),
        ("a.b.c = d.e", "a.b.c = d?.e"),
        ("a[b.c].d++; ++e.f; g\n++h.i", "a[b?.c].d++; ++e.f; g\n++h.i"),
        ("new a.b.C(d.e).f.g, new.target", "new a.b.C(d?.e)?.f?.g, new.target"),
        ("if (x.y) /a.b/.test(c.d)", "if (x?.y) /a.b/?.test(c?.d)"),
        ("a / b.c / d.e", "a / b?.c / d?.e"),
        ("x = /[/.]a.b/.test(c.d)", "x = /[/.]a.b/?.test(c?.d)"),
        ("`a.b${c.d}${`${e.f}`}g.h`.length", "`a.b${c?.d}${`${e?.f}`}g.h`?.length"),
        ("tag.a`x${b.c}`", "tag.a`x${b?.c}`"),
        ("'a.b'.c + \"d.e\\\"\".f", "'a.b'?.c + \"d.e\\\"\"?.f"),
        ("a // b.c\n.d /* e.f */ .g", "a // b.c\n?.d /* e.f */ ?.g"),
        ("for (const x of [a.b]) x.y", "for (const x of [a?.b]) x?.y"),
        ("let [p, q] = a[0]; return [b.c][1]", "let [p, q] = a?.[0]; return [b?.c]?.[1]"),
        ("this.a.b + super.c.d", "this.a?.b + super.c.d"),
        ("a?.b.c?.[0].d", "a?.b?.c?.[0]?.d"),
        ("1.5.toFixed(2) + .5 + 1..z", "1.5?.toFixed(2) + .5 + 1.?.z"),
        ("a.b ? .5 : c.d", "a?.b ? .5 : c?.d"),
        ("u => ({ n: u.a\n  m: u['x'].y })", "u => ({ n: u?.a\n  m: u?.['x']?.y })"),
        ("f = function () { return a.b }.bind(c.d)", "f = function () { return a?.b }?.bind(c?.d)"),
        ("class A extends B { #p; m() { return this.#p.q } }", "class A extends B { #p; m() { return this.#p?.q } }"),
        ("({ ...a.b, [c.d]: e.f })", "({ ...a?.b, [c?.d]: e?.f })"),
        ("a.b ||= c.d; e.f === g.h", "a.b ||= c?.d; e?.f === g?.h"),
        ("a.if.in.x", "a?.if?.in?.x"),
        ("a.b) + c.d", "a.b) + c.d"),
        ("a.b /* no end", "a.b /* no end"),
        ("a.b + 'no end", "a.b + 'no end"),
        ("a.b + `no ${end", "a.b + `no ${end"),
    ],
)
def test_what_becomes_optional(source: str, expected: str) -> None:
    """Reads do, writes do not, texts and comments stay; a text whose brackets do not match stays as it is."""
    assert null_safe(source).text == expected


def test_columns_lead_back() -> None:
    """Each character of the original is found again from its place in the changed text."""
    source = "a.b[c.d].e\n  f.g['h'].i + j"
    made = null_safe(source)
    lines = zip(source.split("\n"), made.text.split("\n"), strict=True)
    for number, (before, after) in enumerate(lines, 1):
        position = 0
        for column, character in enumerate(before, 1):
            while after[position] != character or (after[position : position + 2] == "?."):
                position += 1
            assert made.original_column(number, position + 1) == column, (number, column)
            position += 1


PIECES = (
    "d.a.b", "d['a'].b", "d.list[1].n", "d.list.map(x => x.n.v)", "(d.a).b", "`${d.a.b}-${d.s.length}`",
    "/a.b/.test(d.s)",
    "new Date(d.t).getTime()", "d.s.replace(/[.]/g, 'x.y')", "d.f?.g.h", "[d.a.b, ...d.list][1].n", "({ x: d.a }).x.b",
    "d.a.b / 2 / d.list.length", "(() => { const { a } = d; a.b += 1; try { return a.b } finally { a.b-- } })()",
    "(function (q) { switch (q.s) { case 'x.y': return q.a.b; default: return q.list[0].n } })(d)",
    "d.list.reduce((t, x) => t + x.n.v, 0)", "Object.keys(d.a).map(k => d.a[k])[0]", "!d.a.b", "typeof d.a.c",
    "d.a.b++ + --d.a.b",
    "(x => { for (const y of d.list) { if (y.n.v > 1) return y.n } })(1)", "JSON.stringify(d.a).length",
    "d\n.a // x.y\n.b",
)  # fmt: skip


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_sound_scripts_stay_sound(seed: int) -> None:
    """Where everything is there, a script gives the same with optional accesses as without."""
    document = {"a": {"b": 4}, "s": "x.y", "t": 0, "list": [{"n": {"v": 1}}, {"n": {"v": 2}}]}
    context = quickjs.Context()
    rand = random.Random(seed)
    operators = (" + ", " || ", ", ", " == ", " ?? ", " ? 1 : ")
    pairs = [*itertools.product(PIECES, PIECES)]
    for first, second in rand.sample(pairs, 150):
        operator = rand.choice(operators)
        source = f"({first}){operator}{second}" if rand.random() < 0.7 else f"[{first}, {second}]"
        made = null_safe(source).text
        calls = [f"(d => JSON.stringify([{text}]))({json.dumps(document)})" for text in (source, made)]
        results = [context.eval(call) for call in calls]
        assert results[0] == results[1], (source, made)


def test_time_is_linear() -> None:
    """Texts made to be read again and again are not."""
    for text in ("/*", "`${", "/", "'", "a.", "(", "//", "a[", "/[", "${", "\\", "1.", "a?.", "`"):
        null_safe(text * 40_000)
