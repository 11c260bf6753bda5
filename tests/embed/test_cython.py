"""A Cython module of another package stands on the installed declarations of the engine."""

import fnmatch
import shutil
import sys
import tomllib
from pathlib import Path

import pynori_core

from tests.embed.compile import ROOT, run

USE = """
from counter import Counters
counters = Counters("db")
assert [counters.add("tea"), counters.add("tea", 5), counters.add("coffee", -1)] == [1, 6, -1]
for call in (lambda: counters.add(""), lambda: Counters("db")):
    try:
        call()
    except Exception as error:
        print(type(error).__name__, error)
counters.close()
counters = Counters("db")
print(counters.items())
"""


def test_the_example_counts(tmp_path: Path) -> None:
    """examples/cython_counter compiles as it stands, counts durably, and names what goes wrong."""
    example = tmp_path / "counter"
    shutil.copytree(ROOT / "examples" / "cython_counter", example)
    built = run(sys.executable, "setup.py", "--quiet", "build_ext", "--inplace", directory=example)
    assert built.returncode == 0, built.stderr
    done = run(sys.executable, "-c", USE, directory=example)
    assert done.returncode == 0, done.stderr
    name, busy, items = done.stdout.splitlines()
    assert name == "InvalidArgument a name has 1 to 2048 bytes"
    assert busy.startswith("Busy db is open already, by process ")
    assert items == "[('coffee', -1), ('tea', 6)]"


def test_declarations_and_headers_are_in_the_wheel() -> None:
    """Every .pxd, .pyi and header of the engine is package data, so that others find them where it is installed."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    patterns = settings["tool"]["setuptools"]["package-data"]["pynori_core"]
    folder = Path(pynori_core.get_include()).parent
    wanted = [each for kind in ("*.pxd", "*.pyi", "include/*.h") for each in folder.glob(kind)]
    names = [str(each.relative_to(folder)) for each in wanted]
    assert {"env.pxd", "btree.pxd", "reads.pxd", "writes.pxd", "include/pynori.h", "include/pynori_start.h"} <= {*names}
    assert [name for name in names if not any(fnmatch.fnmatch(name, pattern) for pattern in patterns)] == []
