"""Builds each mutant of `table.py` in a copy of the engine and sees how many crash images it lives through.

`python -m tests.mutants.run [--images N] [--write FILE] [NAME...]`: without names, all of them. Only the changed module
is built, without optimisation. A mutant that no image finds meets the engine's quick tests. The printed table says what
found each one and after how many images; the exit status is 1 when one lives that must not.
"""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from tests.mutants.table import MUTANTS, Edit, Mutant

ROOT = Path(__file__).resolve().parents[2]
IMAGES_MAX = 20000
HUNT_SECONDS_MAX = 150
TEST_SECONDS_MAX = 120
QUICK_TESTS = (
    "test_recovery", "test_checkpoint", "test_journal", "test_env", "test_check", "test_btree", "test_writes",
    "test_merger", "test_item_frames", "test_versions", "test_replication",
)  # fmt: skip
DIRECTIVES = ("boundscheck=False", "wraparound=False", "cdivision=True", "initializedcheck=False",
              "freethreading_compatible=True")  # fmt: skip
# Fresh memory is dear: what one image gives back serves the next.
ALLOCATOR = {"MALLOC_MMAP_THRESHOLD_": "1000000000", "MALLOC_TRIM_THRESHOLD_": "4000000000"}


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a mutant. `images` until it was found, or all of them."""

    mutant: Mutant
    found_by: str
    images: int
    detail: str


class Copy:
    """A tree with the engine's sources and its built modules, in which one module at a time is replaced."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.core = directory / "ext" / "pynori_core"
        shutil.copytree(ROOT / "ext", directory / "ext", symlinks=True)
        for name in ("tests", "pynori", "pyproject.toml"):
            (directory / name).symlink_to(ROOT / name)

    def apply(self, edits: tuple[Edit, ...]) -> None:
        for module in dict.fromkeys(edit.module for edit in edits):
            text = (ROOT / "ext" / "pynori_core" / f"{module}.pyx").read_text()
            for edit in (edit for edit in edits if edit.module == module):
                assert text.count(edit.old) == 1, f"{module}.pyx has changed: {edit.old!r} is not there once"
                text = text.replace(edit.old, edit.new)
            (self.core / f"{module}.pyx").write_text(text)
            self.build(module)

    def build(self, module: str) -> None:
        directives = [part for directive in DIRECTIVES for part in ("-X", directive)]
        source = self.core / f"{module}.c"
        subprocess.run(
            [
                sys.executable, "-m", "cython", "-3", *directives, "-I", "ext", f"ext/pynori_core/{module}.pyx",
                "-o", source,
            ],
            cwd=self.directory, check=True, capture_output=True,
        )  # fmt: skip
        compiler = os.environ.get("CC", "cc").split()
        subprocess.run(
            [
                *compiler, "-shared", "-fPIC", "-O1", "-w", "-std=c11", "-fno-strict-aliasing", "-pthread",
                "-I", sysconfig.get_path("include"), "-I", self.core / "include", source, "-o", self.library(module),
            ],
            check=True,
        )  # fmt: skip
        source.unlink()

    def library(self, module: str) -> Path:
        return self.core / f"{module}{sysconfig.get_config_var('EXT_SUFFIX')}"

    def restore(self, edits: tuple[Edit, ...]) -> None:
        for module in {edit.module for edit in edits}:
            shutil.copy2(ROOT / "ext" / "pynori_core" / f"{module}.pyx", self.core / f"{module}.pyx")
            shutil.copy2(ROOT / "ext" / "pynori_core" / self.library(module).name, self.library(module))

    def run(self, arguments: list[str], seconds: int) -> tuple[int | None, str]:
        """(exit status, or None when it did not end; output)"""
        environment = {**os.environ, **ALLOCATOR, "PYTHONPATH": f"ext{os.pathsep}.", "PYTHONDONTWRITEBYTECODE": "1"}
        with subprocess.Popen(
            [sys.executable, *arguments], cwd=self.directory, env=environment, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
        ) as process:  # fmt: skip
            try:
                output, _ = process.communicate(timeout=seconds)
            except subprocess.TimeoutExpired:
                process.kill()
                output, _ = process.communicate()
                return None, output
        return process.returncode, output


def judge(copy: Copy, mutant: Mutant, images_max: int) -> Verdict:
    copy.apply(mutant.edits)
    try:
        status, output = copy.run(["-m", "tests.core.crash_explorer", "hunt", str(images_max)], HUNT_SECONDS_MAX)
        if status is None:
            return Verdict(mutant, "image", 0, "does not end")
        if status != 0:
            return Verdict(mutant, "image", 0, f"the process ends with status {status}")
        totals = json.loads(output.strip().split("\n")[-1])
        if totals["findings"]:
            return Verdict(mutant, "image", totals["images"], totals["findings"][0])
        tests = [f"tests/core/{name}.py" for name in QUICK_TESTS]
        status, output = copy.run(["-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *tests], TEST_SECONDS_MAX)
        if status == 0:
            return Verdict(mutant, "", totals["images"], mutant.lives)
        failed = [line for line in output.split("\n") if line.startswith(("FAILED", "ERROR"))]
        return Verdict(mutant, "test", totals["images"], failed[0] if failed else f"the tests end with status {status}")
    finally:
        copy.restore(mutant.edits)


def row(verdict: Verdict) -> str:
    detail = " ".join(verdict.detail.replace("|", "/").split())
    if verdict.found_by == "image" and ": " in detail:
        detail = detail.split(": ", 1)[1]
    shown = verdict.found_by or "**lives**"
    return f"| {verdict.mutant.name} | {shown} | {verdict.images:,} | {detail[:160]} |"


def main() -> int:
    arguments = sys.argv[1:]
    images_max, target = IMAGES_MAX, None
    while arguments and arguments[0].startswith("--"):
        option, value, *arguments = arguments
        if option == "--images":
            images_max = int(value)
        else:
            target = Path(value)
    chosen = [mutant for mutant in MUTANTS if not arguments or mutant.name in arguments]
    lines = ["| mutant | found by | images | how it showed |", "| --- | --- | --- | --- |"]
    verdicts = []
    start = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="pynori-mutants-") as directory:
        copy = Copy(Path(directory) / "tree")
        for mutant in chosen:
            verdicts.append(judge(copy, mutant, images_max))
            lines.append(row(verdicts[-1]))
            print(lines[-1], flush=True)
    found = sum(bool(verdict.found_by) for verdict in verdicts)
    by_image = sum(verdict.found_by == "image" for verdict in verdicts)
    lines += ["", f"{found} of {len(verdicts)} found, {by_image} by a crash image, within {images_max:,} images each."]
    print(f"{lines[-1]} {time.monotonic() - start:.0f} s")
    if target is not None:
        target.write_text("\n".join(lines) + "\n")
    return int(any(not verdict.found_by and not verdict.mutant.lives for verdict in verdicts))


if __name__ == "__main__":
    sys.exit(main())
