"""Pynori beside RocksDB, LMDB, SQLite and the bare disk, in one run: figures, ratios, a picture.

    python bench/rivals [--documents 200000] [--updates 20000] [--directory DIR] [--picture FILE]
                        [--only native|embedded]

Needs a C compiler, librocksdb-dev, liblmdb-dev and the `bench` extra. Rates are operations a second; a ratio is ours by
theirs. What is compared with what, where names differ, is in LIKE.
"""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent.parent / "ext"), str(HERE.parent.parent)]

import embedded  # noqa: E402
import native  # noqa: E402
import picture  # noqa: E402
from documents import sample_documents  # noqa: E402

# A kind of ours -> the peers' kind that it stands beside, where that has another name.
LIKE = {
    "batch64": "merged64", "batch256": "merged256", "reads_fresh": "reads", "reads_json": "reads",
    "reads_python": "reads", "heads_python": "reads", "scan_ids": "scan", "threads": "put",
}  # fmt: skip


def show(title: str, figures: dict[str, dict[str, float]]) -> None:
    """A table: ours, and each peer with the ratio."""
    ours = figures["pynori"]
    peers = [name for name in figures if name != "pynori"]
    print(f"\n{title:15}{'pynori':>11}" + "".join(f"{name:>11}{'ratio':>7}" for name in peers))
    for kind, value in ours.items():
        row = f"{kind:15}{value:11,.0f}"
        for name in peers:
            other = figures[name].get(kind, figures[name].get(LIKE.get(kind, kind)))
            row += f"{other:11,.0f}{value / other:7.2f}" if other else " " * 18
        print(row)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=int, default=200_000)
    parser.add_argument("--updates", type=int, default=20_000)
    parser.add_argument("--directory", default=None, help="where to put the files; a temporary directory by default")
    parser.add_argument("--picture", type=Path, default=None, help="an SVG file with the ratios")
    parser.add_argument("--only", choices=("native", "embedded"), default=None)
    arguments = parser.parse_args()
    base = Path(tempfile.mkdtemp(prefix="pynori-rivals-", dir=arguments.directory))
    tables: dict[str, dict[str, dict[str, float]]] = {}
    try:
        if arguments.only != "embedded":
            samples = sample_documents(random.Random(1))
            tables["C interfaces"] = native.run(base, samples, arguments.documents, arguments.updates)
        if arguments.only != "native":
            tables["from Python"] = embedded.run(base)
    finally:
        shutil.rmtree(base, ignore_errors=True)
    for title, figures in tables.items():
        show(title, figures)
    if arguments.picture is not None:
        arguments.picture.write_text(picture.draw(tables, LIKE))


if __name__ == "__main__":
    main()
