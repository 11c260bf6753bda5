"""Line coverage of the engine from gcov's counts: `python -m tests.coverage BUILD`, behind `ci/coverage`.

gcov counts lines of the C that Cython made; the comments in it tell which line of a .pyx or .pxd comes next, until the
function ends. A line counts as run when any C made from it ran, in any of the modules into which it was compiled.
"""

import json
import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
ORIGIN = re.compile(r'\s*/\* "(?:.*/)?pynori_core/(\w+\.p[yx][xd])":(\d+)$')


def origins(made: Path) -> dict[int, tuple[str, int]]:
    """Which line of which source each line of a C file was made from; what belongs to none is left out."""
    found = {}
    origin = None
    for number, line in enumerate(made.read_text().split("\n"), 1):
        if place := ORIGIN.match(line):
            origin = place[1], int(place[2])
        elif line.startswith("}"):
            origin = None
        if origin is not None:
            found[number] = origin
    return found


def counts(build: Path) -> dict[str, dict[int, int]]:
    """How often each line of each source ran: name to line to count."""
    lines: dict[str, dict[int, int]] = defaultdict(lambda: defaultdict(int))
    for notes in sorted(build.rglob("*.gcno")):
        asked = ["gcov", "--json-format", "--stdout", str(notes)]
        made = subprocess.run(asked, cwd=ROOT, capture_output=True, check=True)
        for document in made.stdout.splitlines():
            for file in json.loads(document)["files"]:
                path = ROOT / file["file"]
                if "pynori_core" not in path.parts:
                    continue
                source = origins(path) if path.suffix == ".c" else None
                for line in file["lines"]:
                    number = line["line_number"]
                    place = (path.name, number) if source is None else source.get(number)
                    if place is not None:
                        lines[place[0]][place[1]] += line["count"]
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
