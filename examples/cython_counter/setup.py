"""Builds `counter` against the installed engine: its .pxd files are found by themselves, its headers by get_include."""

import pynori_core
from Cython.Build import cythonize
from setuptools import Extension, setup

setup(
    name="counter",
    version="1.0",
    py_modules=[],
    ext_modules=cythonize(
        [Extension("counter", ["counter.pyx"], include_dirs=[pynori_core.get_include()])],
        language_level=3,
    ),
)
