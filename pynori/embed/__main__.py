"""What a C program needs to compile and link with the engine: `python -m pynori.embed --cflags --libs`.

The paths of this interpreter and of these packages go into the program as lists of character codes, which need no
quotes in any shell or makefile; include/pynori_start.h reads them.
"""

from __future__ import annotations

import argparse
import shlex
import sys
import sysconfig
from pathlib import Path

import pynori_core

import pynori


def codes(text: str) -> str:
    """A text as C writes its bytes."""
    return ",".join(str(byte if byte < 128 else byte - 256) for byte in text.encode())


def include_flags() -> list[str]:
    return ["-I" + pynori_core.get_include(), "-I" + sysconfig.get_path("include")]


def compile_flags() -> list[str]:
    """Where the headers are, and what pynori_start has to know."""
    folders = dict.fromkeys(str(Path(str(each.__file__)).resolve().parent.parent) for each in (pynori, pynori_core))
    return [
        *include_flags(),
        "-DPYNORI_PYTHON=" + codes(sys.executable),
        "-DPYNORI_PATH=" + codes(":".join(folders)),
    ]


def link_flags() -> list[str]:
    """The interpreter's library. Raises: FileNotFoundError, when this Python was installed without it."""
    settings = sysconfig.get_config_vars()
    name = f"python{settings['LDVERSION']}"
    shared = bool(settings.get("Py_ENABLE_SHARED"))
    folder = Path(str(settings["LIBDIR"] if shared else settings["LIBPL"]))
    file = folder / str(settings["LDLIBRARY"] if shared else settings["LIBRARY"])
    if not file.exists():
        raise FileNotFoundError(f"{file} is missing: install the development files of this Python")
    system = shlex.split(f"{settings.get('LIBS', '')} {settings.get('SYSLIBS', '')}")
    if shared:
        return [f"-L{folder}", f"-Wl,-rpath,{folder}", f"-l{name}", *system]
    # The engine's modules look for the interpreter's symbols in the program itself.
    return [f"-L{folder}", f"-l{name}", *system, *shlex.split(str(settings.get("LINKFORSHARED", "")))]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m pynori.embed", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--include", action="store_true", help="only the -I flags, for Cython and C extensions")
    parser.add_argument("--cflags", action="store_true", help="flags for the compiler")
    parser.add_argument("--libs", action="store_true", help="flags for the linker")
    wanted = parser.parse_args()
    if not (wanted.include or wanted.cflags or wanted.libs):
        parser.error("say what to print: --include, --cflags, --libs")
    flags: list[str] = []
    try:
        if wanted.cflags:
            flags += compile_flags()
        elif wanted.include:
            flags += include_flags()
        if wanted.libs:
            flags += link_flags()
    except FileNotFoundError as error:
        parser.exit(1, f"{error}\n")
    print(" ".join(flags))


if __name__ == "__main__":
    main()
