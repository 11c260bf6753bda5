"""Types of the Python face of edit distances."""

def edits(word: str, others: list[str], most: int) -> list[int]:
    """Levenshtein's distance to each of the others; -1 when above `most`, or a word has more than 255 characters."""
