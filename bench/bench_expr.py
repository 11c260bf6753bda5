"""Programs over documents of 1 KB: evaluations a second on one core, each the best of interleaved rounds.

    python bench/bench_expr.py [--seconds 10]

Goal: a map of three plain fields at least a million documents a second. The documents fit the processor's cache, as
they do for an index that follows writes. Conditions are those of queries over a collection.
"""

import argparse
import importlib.util
import random
import subprocess
import sysconfig
import tempfile
import time
from pathlib import Path
from types import ModuleType

from pynori_core.blittable import Document
from pynori_core.expr import Program

from pynori.expr.compile import compile
from pynori.linq.lower import parse_map
from pynori.rql.lower import Lowering
from pynori.rql.parser import parse

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = 500
MAPS = {
    "three fields": "from o in docs.Orders select new { o.Company, o.Freight, City = o.ShipTo.City }",
    "three computed": """from o in docs.Orders where o.Freight > 10 select new {
        Where = o.ShipTo.City + ", " + o.ShipTo.Country, Year = o.OrderedAt.Year, Cost = o.Freight * 2 }""",
    "sum over lines": """from o in docs.Orders select new {
        o.Company, Total = o.Lines.Sum(l => l.PricePerUnit * l.Quantity * (1 - l.Discount)) }""",
    "fan-out": """docs.Orders.SelectMany(o => o.Lines, (o, l) => new { l.Product, l.Quantity, o.Company })""",
}
CONDITIONS = {
    "one condition": "from Orders where ShipTo.City = 'münster'",
    "three conditions": "from Orders where Freight > 50 and ShipTo.City in ('reims', 'köln') or Lines[].Quantity > 45",
}


def build(directory: Path) -> ModuleType:
    """expr_loops.pyx, compiled against the headers in place."""
    code, library = directory / "expr_loops.c", directory / "expr_loops.so"
    subprocess.run(["cython", "-3", "-I", ROOT / "ext", ROOT / "bench" / "expr_loops.pyx", "-o", code], check=True)
    include = f"-I{sysconfig.get_paths()['include']}"
    core = f"-I{ROOT / 'ext' / 'pynori_core' / 'include'}"
    subprocess.run(["cc", "-O3", "-shared", "-fPIC", include, core, code, "-o", library], check=True)
    spec = importlib.util.spec_from_file_location("expr_loops", library)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def order(rand: random.Random) -> Document:
    """An order of about 1 KB with three lines."""
    return Document.from_python(
        {
            "Company": f"companies/{rand.randrange(100)}-A",
            "Employee": f"employees/{rand.randrange(10)}-A",
            "OrderedAt": f"199{rand.randrange(10)}-07-04T00:00:00.0000000",
            "RequireAt": "1996-08-01T00:00:00.0000000",
            "ShipTo": {
                "Line1": rand.choice(["59 rue de l'Abbaye", "Luisenstr. 48"]),
                "Line2": None,
                "City": rand.choice(["Reims", "Münster", "Rio de Janeiro"]),
                "PostalCode": str(rand.randrange(10**5)),
                "Country": "France",
            },
            "Freight": round(rand.random() * 100, 2),
            "Lines": [
                {
                    "Product": f"products/{rand.randrange(80)}-A",
                    "ProductName": rand.choice(["Queso Cabrales", "Tofu"]),
                    "PricePerUnit": rand.randrange(100),
                    "Quantity": rand.randrange(50),
                    "Discount": rand.choice([0, 0.05, 0.15]),
                }
                for _ in range(3)
            ],
            "@metadata": {"@collection": "Orders"},
        }
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    rand = random.Random(arguments.seed)
    documents = [order(rand) for _ in range(DOCUMENTS)]
    programs: dict[str, Program] = {name: parse_map(text).program for name, text in MAPS.items()}
    for name, text in CONDITIONS.items():
        where = parse(text).where
        assert where is not None
        programs[name] = compile(Lowering().condition(where))
    best = dict.fromkeys(programs, float("inf"))
    with tempfile.TemporaryDirectory() as directory:
        loops = build(Path(directory))
        end = time.perf_counter() + arguments.seconds
        while time.perf_counter() < end:
            for name, program in programs.items():
                best[name] = min(best[name], loops.run(program, documents, 20)[0] / 20 / DOCUMENTS)
    for name, seconds in best.items():
        print(f"{name:16} {seconds * 1e9:8.0f} ns a document  {1 / seconds / 1e6:6.2f} M documents/s")


if __name__ == "__main__":
    main()
