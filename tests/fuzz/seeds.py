"""Where each fuzzer begins: inputs that are right, or nearly, so that a run need not find the format first."""

import contextlib
import random
import struct
from collections.abc import Iterator

from pynori_core.blittable import blittable_bytes

from pynori.errors import PynoriError
from pynori.expr.compile import compile
from pynori.linq.lower import parse_map, parse_reduce
from tests.core.instance import Instance, meet
from tests.expr.test_evaluate import Drawer
from tests.fuzz.images import PAGES_MAX

JSON = (
    b'{"a":1,"b":[true,false,null,-1.5e3,"\\u00e9\\ud83d\\ude00"],"@metadata":{"@collection":"Things","@id":"things/1"}}',
    b'[1,2.5,1e400,9223372036854775808,0.1,"\\n\\\\",{},[],{"":{"":[]}}]',
    b"[" * 20 + b"]" * 20,
    b'{"a":1,"a":2,"text":"' + b"x" * 300 + b'"}',
    b"{" + b",".join(b'"n%d":%d' % (number, number) for number in range(40)) + b"}",
)
CHANGE_VECTORS = (
    b"A:1-AAAAAAAAAAAAAAAAAAAAAA|B:2-AQEBAQEBAQEBAQEBAQEBAQ",
    b"A:1-AAAAAAAAAAAAAAAAAAAAAA, B:2-AQEBAQEBAQEBAQEBAQEBAQ|A:3-AAAAAAAAAAAAAAAAAAAAAA",
    b"|A:9223372036854775807-AAAAAAAAAAAAAAAAAAAAAA",
)
IDENTIFIERS = (b"users/1-A", "Ärger/ß".encode(), b"users/", b"users|", b"\x00", b"x" * 600,
    b"\xc4\xb0i\xcc\x87\xc4\xb1\xc5\xbf\xe2\x84\xaa")
ARRAYS = (b'[{"a":[1,2]},"x]",3 ,\n{}]', b'["\\"",[[]],{"b":"}"}] ', b"[]")
REQUESTS = (
    b"GET /databases/db/docs?id=users%2F1&include=a&metadataOnly=true HTTP/1.1\r\nHost: a\r\n\r\n",
    b"PUT /databases/db/docs?id=users%2F1 HTTP/1.1\r\nHost: a\r\nContent-Length: 7\r\n\r\n{\"a\":1}",
    b"POST /databases/db/docs HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"9\r\n{\"Ids\":[]\r\n1;x=y\r\n}\r\n0\r\n\r\n",
    b"POST /databases/db/bulk_docs HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 73\r\n\r\n"
    b'{"Commands":[{"Id":"a/1","Type":"PUT","Document":{"a":1},"ChangeVector":""}]}',
    b"POST /databases/db/multi_get HTTP/1.1\r\nHost: a\r\nContent-Length: 60\r\n\r\n"
    b'{"Requests":[{"Url":"/databases/db/docs","Query":"?id=a/1"}]}',
    b"GET /databases/db/stats HTTP/1.1\r\nHost: a\r\nConnection: close\r\nIf-None-Match: \"A:1\"\r\n\r\n",
    b"POST /databases/db/docs HTTP/1.1\r\nHost: a\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\n\x1f\x8b\x08",
    b"GET / HTTP/1.0\r\n\r\nGET /build/version HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET /databases/db/changes HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
    b"DELETE /databases/db/docs?id=a%00%ff HTTP/1.1\r\nHost: a\r\nContent-Length: 0, 0\r\n\r\n",
)
LINQ = (
    "from u in docs.Users select new { u.Name, u.Age, City = u.Address.City, Long = u.Name.Length > 3 }",
    "from u in docs.Users from l in u.Lines where l.Price > 1 && u.Age > 0 select new { l.Product, V = l.Price * 2 }",
    'docs.Users.Where(u => u.Name.StartsWith("A") || u.Tags.Any(t => t == "b")).Select(u => new { u.Name })',
    'from u in docs.Users let b = LoadDocument(u.B, "Users") select new { B = b.Name ?? "", _ = CreateField("x", 1) }',
    "from u in docs.Users select new { u.Name, Count = 1, Sum = u.Score }\0\0"
    "from r in results group r by r.Name into g "
    "select new { Name = g.Key, Count = g.Sum(x => x.Count), Sum = g.Max(x => x.Sum) }",
    "from u in docs.Users select new { u.Name }\0from d in docs.Dogs select new { Name = d.Owner }",
    "docs.Users.SelectMany(u => u.Lines, (u, l) => new { P = l.Product.Substring(0, 2).ToUpper(), N = (int?)l.Price })",
    'from u in docs.Users select new { u.When.Year, M = MetadataFor(u)["@id"], A = u.Age / (u.Age - 36), N = -u.Age}',
    'from u in docs.Users select new { S = u.Lines.Sum(x => x.Price), J = string.Join(",", u.Tags) }',
    "from u in docs.Users select new { N = " + "(" * 40 + "1" + ")" * 40 + " }",
    "from u in docs.Users select",
)
EDGES = (
    0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, (1 << 63) - 1, (1 << 64) - 1,
)
PATCHES = 600  # one field each
EXPRESSIONS = 30


def patches(seed: int, numbers: int, header_size: int) -> Iterator[bytes]:
    """Single fields near the start of a page or record, set to a value at an edge."""
    rand = random.Random(seed)
    for _ in range(PATCHES):
        width = rand.choice((1, 2, 4, 8))
        value = rand.choice(EDGES) & ((1 << 8 * width) - 1)
        offset = rand.randrange(0, header_size, width) if rand.random() < 0.7 else rand.randrange(8192)
        piece = value.to_bytes(width, "little")
        yield struct.pack("<BHB", rand.randrange(numbers), offset, width) + piece


def programs() -> Iterator[bytes]:
    """What the maps and reduces of LINQ are compiled to, and random expressions."""
    for seed in range(EXPRESSIONS):
        yield compile(Drawer(random.Random(seed)).tree(3)).data
    for text in LINQ:
        for part in text.replace("\0\0", "\0").split("\0"):
            with contextlib.suppress(PynoriError):
                yield (parse_reduce(part) if "results" in part else parse_map(part)).program.data


def frames() -> Iterator[bytes]:
    """Frames of items: documents and deletions, small and large, in conflict with each other, of a transaction."""
    made = [Instance(tag) for tag in "BC"]
    for one in made:
        one.put("things/1", "Things", n=one.tag)
        yield one.outgoing(0, "").frame
        one.put("things/2", "Things", text="x" * 5000)
        one.delete("things/2")
        one.cluster_put("things/3", 1, n=one.tag)
        yield one.outgoing(0, "").frame
    meet(*made)
    made[0].put("things/1", n=2)
    yield made[0].outgoing(0, "").frame
    for one in made:
        yield one.outgoing(0, "").frame
        one.close()


def seeds(target: str) -> Iterator[bytes]:
    """The first inputs of a target."""
    if target == "json_text":
        yield from JSON
    elif target == "blittable":
        yield from (blittable_bytes(text) for text in JSON)
    elif target == "change_vector":
        yield from CHANGE_VECTORS
    elif target == "identifier":
        yield from IDENTIFIERS
    elif target == "framing":
        yield from (b"\x03" + array for array in ARRAYS)
    elif target == "linq":
        yield from (text.encode() for text in LINQ)
    elif target == "program":
        yield from programs()
    elif target == "http":
        yield from (b"\x40" + request for request in REQUESTS)
    elif target == "frame":
        yield from frames()
    elif target == "page":
        yield from patches(1, PAGES_MAX, 96)
    elif target == "journal":
        yield from (b"\x01" + patch for patch in patches(2, 8, 256))
        yield from (b"\x00" + struct.pack("<B", count) + bytes(16 * count) for count in range(4))
