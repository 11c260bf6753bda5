"""Words to their stems: the Snowball algorithms by name of language, with the stems of recent words remembered."""

from __future__ import annotations

import functools
from collections.abc import Callable

import snowballstemmer

from pynori.errors import InvalidArgument
from pynori.limits import STEMS_REMEMBERED

LANGUAGES: frozenset[str] = frozenset(snowballstemmer.algorithms())


@functools.cache
def stemmer(language: str) -> Callable[[str], str]:
    """The function that gives the stem of a lower-cased word. InvalidArgument for a language without one.

    English is Porter's second algorithm; "porter" is the first one.
    """
    name = language.strip().lower()
    if name not in LANGUAGES:
        raise InvalidArgument(f"there is no stemmer for '{language[:40]}'; there are {', '.join(sorted(LANGUAGES))}")
    stem: Callable[[str], str] = snowballstemmer.stemmer(name).stemWord
    return functools.lru_cache(STEMS_REMEMBERED)(stem)
