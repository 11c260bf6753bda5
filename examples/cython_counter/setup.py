"""Builds `counter` against the installed engine: its .pxd files lie in its package, its headers in get_include.

An engine installed in place is not beside this module's other packages, so the path of its declarations is given.
"""

from pathlib import Path

import pynori_core
from Cython.Build import cythonize
from setuptools import Extension, setup

setup(
    name="counter",
    version="1.0",
    py_modules=[],
    ext_modules=cythonize(
        [Extension("counter", ["counter.pyx"], include_dirs=[pynori_core.get_include()])],
        include_path=[str(Path(pynori_core.get_include()).parents[1])],
        language_level=3,
    ),
)
