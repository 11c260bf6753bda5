"""How alike two words are, from 0 (nothing in common) to 1 (equal), by three measures.

Levenshtein counts edits, Jaro-Winkler counts letters that are in place or nearly so and favours equal beginnings, NGram
(Kondrak's) compares pairs of letters. Both words must be short: the cost is the product of their sizes.
"""

from __future__ import annotations

WINKLER_THRESHOLD = 0.7  # below it an equal beginning is no bonus
WINKLER_SCALE = 0.1
NGRAM_SIZE = 2


def levenshtein(left: str, right: str) -> float:
    """One minus the number of insertions, deletions and replacements, as a share of the longer word."""
    if not left or not right:
        return 1.0 if left == right else 0.0
    before = list(range(len(right) + 1))
    for row, letter in enumerate(left, 1):
        here = [row]
        for column, other in enumerate(right, 1):
            here.append(min(here[-1] + 1, before[column] + 1, before[column - 1] + (letter != other)))
        before = here
    return 1.0 - before[-1] / max(len(left), len(right))


def jaro_winkler(left: str, right: str) -> float:
    """Jaro's measure, raised by the equal beginning where the words are alike enough."""
    short, long = (left, right) if len(left) <= len(right) else (right, left)
    in_short, in_long = _matching(short, long)
    matches = len(in_short)
    if not matches:
        return 0.0
    swapped = sum(one != other for one, other in zip(in_short, in_long, strict=True)) // 2
    jaro = (matches / len(left) + matches / len(right) + (matches - swapped) / matches) / 3
    if jaro < WINKLER_THRESHOLD:
        return jaro
    beginning = 0
    while beginning < len(short) and left[beginning] == right[beginning]:
        beginning += 1
    return jaro + min(WINKLER_SCALE, 1 / len(long)) * beginning * (1 - jaro)


def _matching(short: str, long: str) -> tuple[list[str], list[str]]:
    """Letters of both words that match within half the longer word, in the order of each."""
    reach = max(len(long) // 2 - 1, 0)
    used = [False] * len(long)
    in_short = []
    for index, letter in enumerate(short):
        for place in range(max(index - reach, 0), min(index + reach + 1, len(long))):
            if not used[place] and long[place] == letter:
                used[place] = True
                in_short.append(letter)
                break
    return in_short, [letter for letter, taken in zip(long, used, strict=True) if taken]


def ngram(left: str, right: str) -> float:
    """As Levenshtein over pairs of letters, which may be alike by half; the beginning counts once more."""
    if not left or not right:
        return 1.0 if left == right else 0.0
    if len(left) < NGRAM_SIZE or len(right) < NGRAM_SIZE:
        same = sum(one == other for one, other in zip(left, right, strict=False))
        return same / max(len(left), len(right))
    padding = "\0" * (NGRAM_SIZE - 1)
    padded_left, padded_right = padding + left, padding + right
    before = [float(column) for column in range(len(right) + 1)]
    for row in range(1, len(left) + 1):
        here = [float(row)]
        for column in range(1, len(right) + 1):
            cost = _pair_cost(padded_left[row - 1 : row + 1], padded_right[column - 1 : column + 1])
            here.append(min(here[-1] + 1, before[column] + 1, before[column - 1] + cost))
        before = here
    return 1.0 - before[-1] / max(len(left), len(right))


def _pair_cost(left: str, right: str) -> float:
    """The share of letters that differ; padding that is equal on both sides tells nothing."""
    told = NGRAM_SIZE
    different = 0
    for one, other in zip(left, right, strict=True):
        if one != other:
            different += 1
        elif one == "\0":
            told -= 1
    return different / told
