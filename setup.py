"""The extensions of `pynori_core` and their two builds: release, and debug with PYNORI_DEBUG=1.

Each .pyx below ext/pynori_core is one extension module of the same name. The debug build keeps bounds checks, fills
freed memory with a pattern, counts live handles, and contains `hooks`, which opens C-level functions to tests/core.
"""

import os
import sys
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup

DEBUG = os.environ.get("PYNORI_DEBUG", "") not in ("", "0")
DEBUG_ONLY = {"hooks"}
ROOT = Path("ext/pynori_core")

compile_args = ["-std=c11", "-fno-strict-aliasing", "-Wno-unused-function", "-fstack-protector-strong"]
compile_args += ["-O1", "-g", "-DPYNORI_DEBUG=1"] if DEBUG else ["-O3", "-g1", "-D_FORTIFY_SOURCE=2"]
link_args = ["-pthread"] + ([] if sys.platform == "darwin" else ["-Wl,-z,relro,-z,now"])
# Flags of the sanitizer, fuzz and coverage variants are added from outside: they change no source.
compile_args += os.environ.get("PYNORI_CFLAGS", "").split()
link_args += os.environ.get("PYNORI_LDFLAGS", "").split()

extensions = [
    Extension(
        f"pynori_core.{source.stem}",
        [str(source)],
        include_dirs=[str(ROOT / "include")],
        extra_compile_args=compile_args,
        extra_link_args=link_args,
    )
    for source in sorted(ROOT.glob("*.pyx"))
    if DEBUG or source.stem not in DEBUG_ONLY
]

setup(
    ext_modules=cythonize(
        extensions,
        include_path=["ext"],
        build_dir=os.environ.get("PYNORI_BUILD_DIR", "build/cython"),
        nthreads=0,
        compiler_directives={
            "language_level": "3",
            "boundscheck": DEBUG,
            "wraparound": False,
            "cdivision": True,
            "initializedcheck": False,
            "freethreading_compatible": True,
            "embedsignature": True,
        },
    ),
)
