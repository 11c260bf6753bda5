"""The engine of Pynori: blittable documents, pages, transactions, trees, and what a document write entails.

Each module is one idea; the numbered floors that they stand on are drawn in ARCHITECTURE.md.
"""

from pathlib import Path as _Path
from typing import Any as _Any


def get_include() -> str:
    """The folder of pynori.h and of the headers that the .pxd files name: for include_dirs."""
    return str(_Path(__file__).resolve().parent / "include")


def __getattr__(name: str) -> _Any:
    # C programs import the capsule by this name; Python programs need not load all of the engine for it.
    if name == "_C_API":
        from pynori_core.capi import C_API

        return C_API
    raise AttributeError(f"module 'pynori_core' has no attribute '{name}'")
