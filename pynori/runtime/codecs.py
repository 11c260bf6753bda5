"""Hand the engine the addresses of LZ4, which the `lz4` wheel's extension module exports; done once, on import.

The engine calls them without the GIL. The extension module is held loaded for the life of the process by the reference
that this module keeps. A build of `lz4` that links the library from outside, or hides it, is refused by name.
"""

import ctypes

from lz4.block import _block  # type: ignore[import-untyped]
from pynori_core.codec import codec_install

# Order of codec_install's arguments.
EXPORTS = ("LZ4_compress_default", "LZ4_decompress_safe", "LZ4_compressBound")


class MissingCodec(ImportError):
    """The installed build of `lz4` does not export what the engine calls."""


def find_addresses(path: str) -> tuple[int, ...]:
    """The addresses of EXPORTS in the shared object at `path`.

    Raises: MissingCodec, with the file and the missing name.
    """
    library = ctypes.CDLL(path)
    addresses = []
    for name in EXPORTS:
        try:
            function = getattr(library, name)
        except AttributeError:
            raise MissingCodec(f"{path} does not export {name}; install the lz4 wheel from PyPI", name="lz4") from None
        address = ctypes.cast(function, ctypes.c_void_p).value
        assert address
        addresses.append(address)
    return tuple(addresses)


codec_install(*find_addresses(_block.__file__))
