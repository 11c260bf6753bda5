"""Compiling in tests: C programs with the flags that the package prints, Cython modules by their own setup.py."""

import os
import shlex
import subprocess
import sys
import sysconfig
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
# Child processes find the packages where this one does, wherever they run.
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(str(Path(each or ".").resolve()) for each in sys.path)}
SECONDS_MAX = 120


def run(*words: str, directory: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """A finished process, whatever its exit code."""
    return subprocess.run(
        words, cwd=directory, env=ENVIRONMENT, capture_output=True, text=True, timeout=SECONDS_MAX
    )  # fmt: skip


def compile_program(source: Path, program: Path, *more: str) -> Path:
    """The program of one C file; warnings are errors."""
    flags = run(sys.executable, "-m", "pynori.embed", "--cflags", "--libs")
    assert flags.returncode == 0, flags.stderr
    compiler = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC").split()[0])
    words = [*compiler, "-std=gnu11", "-O1", "-Wall", "-Wextra", "-Werror", str(source)]
    done = run(*words, *flags.stdout.split(), *more, "-o", str(program))
    assert done.returncode == 0, done.stderr
    return program
