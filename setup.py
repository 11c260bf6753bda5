"""The extensions of `pynori_core` and their builds: release, and what PYNORI_VARIANT names instead.

Each .pyx below ext/pynori_core is one extension module of the same name. `ci/build VARIANT` builds each variant into a
directory of its own, so that none disturbs another:

    release   what is installed
    debug     bounds checks, freed memory filled with a pattern, live handles counted, and the module `hooks`, which
              opens C-level functions to tests/core
    asan      debug under the address and undefined-behaviour sanitizers of gcc
    tsan      release under the thread sanitizer of gcc
    fuzz      debug under the address and undefined-behaviour sanitizers of clang, instrumented for libFuzzer
    cov       release directives, not optimised, counting executed lines and branches for gcov
"""

import os
import sys
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup

DEBUG_FLAGS = ["-O1", "-g", "-DPYNORI_DEBUG=1"]
SANITIZE = ["-fno-omit-frame-pointer", "-fsanitize=address,undefined", "-fno-sanitize-recover=undefined"]
# Variant: flags of the compiler, flags of the linker.
VARIANTS = {
    "release": (["-O3", "-g1", "-D_FORTIFY_SOURCE=2"], []),
    "debug": (DEBUG_FLAGS, []),
    "asan": ([*DEBUG_FLAGS, *SANITIZE], ["-fsanitize=address,undefined"]),
    "tsan": (["-O1", "-g", "-fno-omit-frame-pointer", "-fsanitize=thread"], ["-fsanitize=thread"]),
    # The sanitizers' runtime is in the fuzzer's executable, which loads these modules.
    "fuzz": ([*DEBUG_FLAGS, *SANITIZE, "-fsanitize=fuzzer-no-link", "-Wno-unknown-warning-option"],
             ["-fsanitize=fuzzer-no-link", "-shared"]),
    "cov": (["-O0", "-g", "--coverage", "-fprofile-update=atomic", "-fprofile-abs-path"], ["--coverage"]),
}
VARIANT = os.environ.get("PYNORI_VARIANT", "release")
DEBUG = VARIANT in ("debug", "asan", "fuzz")
DEBUG_ONLY = {"hooks"}
ROOT = Path("ext/pynori_core")
BUILD_DIR = "build/cython-debug" if DEBUG else "build/cython"

variant_compile_args, variant_link_args = VARIANTS[VARIANT]
compile_args = [
    "-std=c11", "-fno-strict-aliasing", "-Wno-unused-function", "-fstack-protector-strong",
    "-Wformat", "-Werror=format-security",  # as Debian builds: what fails there fails here
]
link_args = ["-pthread"] + ([] if sys.platform == "darwin" else ["-Wl,-z,relro,-z,now"])

extensions = [
    Extension(
        f"pynori_core.{source.stem}",
        [str(source)],
        include_dirs=[str(ROOT / "include")],
        extra_compile_args=compile_args + variant_compile_args,
        extra_link_args=link_args + variant_link_args,
    )
    for source in sorted(ROOT.glob("*.pyx"))
    if DEBUG or source.stem not in DEBUG_ONLY
]

setup(
    ext_modules=cythonize(
        extensions,
        include_path=["ext"],
        build_dir=BUILD_DIR,
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
