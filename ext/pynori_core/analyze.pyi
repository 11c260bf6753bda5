"""Types of the Python face of native text analysis. An analyzer is one tokenizer added to any flags."""

from typing import Final

# Tokenizers.
STANDARD: Final[int]
LETTERS: Final[int]
WHITESPACE: Final[int]
# Flags.
LOWER: Final[int]
CLEAN: Final[int]  # standard: `'s` at the end and the dots of U.S.A. go
STOP: Final[int]  # words of `stop_words` go

stop_words: Final[frozenset[str]]

def terms(text: str, analyzer: int) -> list[tuple[str, int]]:
    """(term, position) of each token. ValueError for a number that is no analyzer."""

def tokens(text: str, analyzer: int) -> list[tuple[str, int, int, int]]:
    """(term, position, first character, end) of each token; characters of the text as it was given."""

def count(text: bytes, analyzer: int) -> int:
    """How many terms a text in UTF-8 gives."""
