"""JSON against its peers in one run: text to blittable, blittable to text, one field of a document.

Prints MB/s of text and ratios, each the best of interleaved rounds; `--seconds` bounds the whole run. Peers: orjson
(makes Python objects) and pysimdjson (parses without making any). Our side runs as the engine runs it, one document
after the other without a Python call for each. Goals: reading at least 3 times orjson.loads, writing at least
orjson.dumps, a field of a 10 KB document at least 50 times faster than parsing it.
"""

import argparse
import json
import random
import time
from collections.abc import Callable

import orjson
import simdjson
from pynori_core.blittable import Document
from pynori_core.json import JsonCodec

# Documents of one kind in a workload: names repeat, values differ.
DOCUMENTS = 200


def order(rand: random.Random, lines: int) -> dict[str, object]:
    """An order of about 1 KB with three lines."""
    return {
        "Company": f"companies/{rand.randrange(100)}-A",
        "Employee": f"employees/{rand.randrange(10)}-A",
        "OrderedAt": "1996-07-04T00:00:00.0000000",
        "RequireAt": "1996-08-01T00:00:00.0000000",
        "ShippedAt": None if rand.random() < 0.2 else "1996-07-16T00:00:00.0000000",
        "ShipTo": {
            "Line1": rand.choice(["59 rue de l'Abbaye", "Luisenstr. 48", "Rua do Paço, 67"]),
            "Line2": None,
            "City": rand.choice(["Reims", "Münster", "Rio de Janeiro"]),
            "Region": None,
            "PostalCode": str(rand.randrange(10**5)),
            "Country": "France",
            "Location": {"Latitude": round(rand.uniform(-90, 90), 5), "Longitude": round(rand.uniform(-180, 180), 5)},
        },
        "ShipVia": "shippers/3-A",
        "Freight": round(rand.random() * 100, 2),
        "Lines": [
            {
                "Product": f"products/{rand.randrange(80)}-A",
                "ProductName": rand.choice(["Queso Cabrales", "Tofu", "Singaporean Hokkien Fried Mee"]),
                "PricePerUnit": rand.randrange(100),
                "Quantity": rand.randrange(50),
                "Discount": rand.choice([0, 0.05, 0.15]),
            }
            for _ in range(lines)
        ],
        "@metadata": {"@collection": "Orders", "@nested-object-types": {}},
    }


def best_of(calls: dict[str, Callable[[], object]], seconds: float) -> dict[str, float]:
    """The fastest round of each call, the calls taking turns."""
    best = dict.fromkeys(calls, float("inf"))
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            best[name] = min(best[name], time.perf_counter() - start)
    return best


def each(function: Callable[[bytes], object], texts: list[bytes]) -> Callable[[], None]:
    def run() -> None:
        for text in texts:
            function(text)

    return run


def read_and_write(title: str, texts: list[bytes], seconds: float) -> None:
    codec, parser = JsonCodec(), simdjson.Parser()
    documents, objects = [], [orjson.loads(text) for text in texts]
    for text in texts:
        codec.parse(text)
        documents.append(codec.document())
    text_bytes = sum(map(len, texts))
    compact_bytes = sum(len(orjson.dumps(value)) for value in objects)

    def dump() -> None:
        for value in objects:
            orjson.dumps(value)

    best = best_of(
        {
            "parse": lambda: codec.parse_all(texts),
            "loads": each(orjson.loads, texts),
            "simdjson": each(lambda text: parser.parse(text) and None, texts),
            "write": lambda: codec.write_all(documents),
            "dumps": dump,
        },
        seconds,
    )
    rate = {name: (compact_bytes if name in ("write", "dumps") else text_bytes) / t / 1e6 for name, t in best.items()}
    print(f"{title}: {text_bytes / len(texts):.0f} B, blittable {sum(map(len, documents)) / compact_bytes:.2f} of JSON")
    for ours, peer in (("parse", "loads"), ("parse", "simdjson"), ("write", "dumps")):
        print(f"    {ours} {rate[ours]:5.0f} MB/s, {peer:8} {rate[peer]:5.0f} MB/s (x {rate[ours] / rate[peer]:.2f})")


def one_field(seconds: float) -> None:
    """A field of a 10 KB document, through the Python face, against parsing the document."""
    text = orjson.dumps(order(random.Random(3), 75))
    document = Document.from_json(text)
    codec = JsonCodec()
    rounds = 1000

    def field() -> None:
        for _ in range(rounds):
            document["Freight"]

    def deep_field() -> None:
        for _ in range(rounds):
            document["Lines"][70]["Product"]

    best = best_of(
        {
            "field": field,
            "deep": deep_field,
            "loads": lambda: orjson.loads(text),
            "json": lambda: json.loads(text),
            "parse": lambda: codec.parse(text),
        },
        seconds,
    )
    field_ns = best["field"] / rounds * 1e9
    print(f"one field of {len(text)} B: {field_ns:.0f} ns, three levels down {best['deep'] / rounds * 1e9:.0f} ns")
    for name in ("loads", "json", "parse"):
        print(f"    {name:5} of the document {best[name] * 1e9:6.0f} ns (x {best[name] * 1e9 / field_ns:.0f})")


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    options.add_argument("--seconds", type=float, default=12.0)
    share = options.parse_args().seconds / 6

    rand = random.Random(1)
    orders = [order(rand, 3) for _ in range(DOCUMENTS)]
    others = [
        {"Id": i, "Tags": ["a", "b"], f"Field{i % 10}": {"Text": "x" * 400, f"Deep{i % 7}": i}}
        for i in range(DOCUMENTS)
    ]
    compact = [json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode() for value in orders]
    read_and_write("1 KB orders", compact, share)
    read_and_write("1 KB orders, spaced", [json.dumps(value).encode() for value in orders], share)
    mixed = [text for pair in zip(compact, (orjson.dumps(value) for value in others), strict=True) for text in pair]
    read_and_write("two kinds by turns", mixed, share)
    read_and_write("4 MB array of orders", [orjson.dumps([order(rand, 3) for _ in range(4000)])], share)
    indented = orjson.dumps([order(rand, 3) for _ in range(400)], option=orjson.OPT_INDENT_2)
    read_and_write("0.6 MB, indented", [indented], share)
    one_field(share)


if __name__ == "__main__":
    main()
