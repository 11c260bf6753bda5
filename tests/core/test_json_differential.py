"""Random texts: our JSON accepts and refuses what Python's json and orjson do, and gives the same values back.

The sample of a test run; `ci/fuzz differential` judges as many as are asked for.
"""

import pytest

from tests.core.json_oracle import judge
from tests.core.json_texts import judge_texts

TEXTS = 4_000  # of each seed
SEEDS = (1, 2, 3)


@pytest.mark.parametrize("seed", SEEDS)
def test_random_texts(seed: int) -> None:
    """Same texts accepted, same values back; and each kind of outcome occurs, so that the judge has a say."""
    outcomes = judge_texts(seed, TEXTS)
    assert outcomes["equal"] > TEXTS // 2
    assert outcomes["refused"] > TEXTS // 10
    assert outcomes["deep"] > 5
    assert outcomes["surrogate"] > 5


@pytest.mark.parametrize(
    ("text", "outcome"),
    [
        (b"1e400", "equal"),
        (b'{"a":1,"a":2}', "equal"),
        (b"[" * 128 + b"]" * 128, "equal"),
        (b"[" * 129 + b"]" * 129, "deep"),
        (b'"\\ud800"', "surrogate"),
        (b'"\xed\xa0\x80"', "refused"),
        (b"NaN", "refused"),
        (b"\xef\xbb\xbf1", "refused"),
    ],
)
def test_pinned(text: bytes, outcome: str) -> None:
    """The cases in which the judges differ among themselves or from us go the way that is written down."""
    assert judge(text) == outcome
