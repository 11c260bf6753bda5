"""The tree keeps its own style: what a reviewer would have to say on every change is said here once."""

import ast
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FUNCTION_LINES_MAX = 70
FILE_LINES_MAX = {".py": 1000, ".pyx": 1500, ".pxd": 500, ".md": 1500}
# Words that say that something was left unfinished.
UNFINISHED = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b|for now\b|\bsimplified\b|NotImplementedError", re.IGNORECASE)
# Words of the workshop, not of the product.
WORKSHOP = re.compile(r"\b(issue|session) #?\d+\b|/work/|\bregistry\.|pypi\.org|npmjs", re.IGNORECASE)


def tracked(*suffixes: str) -> list[Path]:
    listing = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [ROOT / name for name in listing.split("\n") if name.endswith(suffixes) and (ROOT / name).is_file()]


SOURCES = tracked(".py", ".pyx", ".pxd", ".pyi", ".md", ".h", ".sh")


def test_files_fit_one_idea() -> None:
    """No file is longer than a file with one idea can be."""
    long = []
    for path in SOURCES:
        lines = path.read_text().count("\n")
        if lines > FILE_LINES_MAX.get(path.suffix, 1500):
            long.append(f"{path.relative_to(ROOT)}: {lines} lines")
    assert not long, "\n".join(long)


def test_functions_fit_a_screen() -> None:
    """No Python function is longer than 70 lines."""
    long = []
    for path in tracked(".py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or node.lineno) - node.lineno + 1
                if lines > FUNCTION_LINES_MAX:
                    long.append(f"{path.relative_to(ROOT)}:{node.lineno} {node.name}: {lines} lines")
    assert not long, "\n".join(long)


def test_every_source_says_what_it_is() -> None:
    """Each Python and Cython file opens with a docstring."""
    silent = []
    for path in tracked(".py", ".pyx", ".pxd"):
        text = path.read_text().lstrip()
        text = "\n".join(line for line in text.split("\n") if not line.startswith(("#!", "# cython:", "# distutils:")))
        if text.strip() and not text.lstrip().startswith(('"""', 'r"""')):
            silent.append(str(path.relative_to(ROOT)))
    assert not silent, "\n".join(silent)


@pytest.mark.parametrize("pattern", [UNFINISHED, WORKSHOP], ids=["unfinished", "workshop"])
def test_no_word_of_the_workshop(pattern: re.Pattern[str]) -> None:
    """Nothing is marked as unfinished, and nothing speaks of where the project is made."""
    hits = []
    for path in SOURCES:
        if path == Path(__file__).resolve():
            continue
        for number, line in enumerate(path.read_text().splitlines(), 1):
            if pattern.search(line):
                hits.append(f"{path.relative_to(ROOT)}:{number}: {line.strip()[:120]}")
    assert not hits, "\n".join(hits)


def test_no_module_reads_the_clock_or_dice_on_its_own() -> None:
    """Time and randomness come in through pynori.runtime only, so that a test can replace them."""
    wrong = []
    for path in tracked(".py"):
        relative = path.relative_to(ROOT)
        if relative.parts[0] != "pynori" or relative.parts[:2] == ("pynori", "runtime"):
            continue
        for number, line in enumerate(path.read_text().splitlines(), 1):
            if re.match(r"\s*(import|from)\s+(time|random|secrets)\b", line):
                wrong.append(f"{relative}:{number}: {line.strip()}")
    assert not wrong, "\n".join(wrong)
