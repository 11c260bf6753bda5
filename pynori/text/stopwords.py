"""Words that say nothing about a text: the lists that stop filters take by name."""

from __future__ import annotations

from typing import Final

from pynori_core import analyze

# The list of the standard analyzer; also in the engine, which drops them while it cuts.
ENGLISH: Final[frozenset[str]] = analyze.stop_words
# What names ask for; "none" keeps every word.
STOP_WORDS: Final[dict[str, frozenset[str]]] = {"english": ENGLISH, "none": frozenset()}
