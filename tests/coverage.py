"""Line coverage of the engine from gcov's counts: `python -m tests.coverage BUILD`, behind `ci/coverage`.

Cython's #line directives lead gcov from C to the .pyx and .pxd. An inline function of a .pxd is compiled into several
modules; a line counts as run when one of them ran it.
"""

import json
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SUFFIXES = (".pyx", ".pxd", ".h")


def counts(build: Path) -> dict[str, dict[int, int]]:
    """How often each line of each source ran: name to line to count."""
    lines: dict[str, dict[int, int]] = defaultdict(lambda: defaultdict(int))
    for notes in sorted(build.rglob("*.gcno")):
        made = subprocess.run(
            ["gcov", "--json-format", "--stdout", str(notes)], cwd=ROOT, capture_output=True, check=True
        )
        for document in made.stdout.splitlines():
            for file in json.loads(document)["files"]:
                path = Path(file["file"])
                if "pynori_core" in path.parts and path.suffix in SUFFIXES:
                    for line in file["lines"]:
                        lines[path.name][line["line_number"]] += line["count"]
    return lines


def main() -> None:
    lines = counts(Path(sys.argv[1]))
    if not lines:
        sys.exit("no counts: the build is not of the cov variant, or no test ran in it")
    total = run = 0
    for name, file in sorted(lines.items()):
        covered = sum(1 for count in file.values() if count)
        total += len(file)
        run += covered
        print(f"{100 * covered / len(file):6.1f} %  {covered:5} of {len(file):5}  {name}")
    print(f"{100 * run / total:6.1f} %  {run:5} of {total:5}  lines of ext/ in total")


if __name__ == "__main__":
    main()
