"""Every kept input of every fuzz target goes through it in the build at hand: what once was wrong stays right."""

import pytest

from tests.fuzz.run import CORPUS, corpus
from tests.fuzz.targets import TARGETS

NAMES = [target.__name__ for target in TARGETS]


@pytest.mark.parametrize("target", TARGETS, ids=NAMES)
def test_kept_inputs(target) -> None:
    """No input makes its target raise, hang or crash; there are some for each target."""
    inputs = corpus(target.__name__)
    assert len(inputs) > 5
    for name, data in inputs.items():
        try:
            target(data)
        except Exception as error:
            error.add_note(f"{CORPUS.name}/{target.__name__}/{name}")
            raise


def test_every_corpus_has_a_target() -> None:
    """No folder of inputs is left behind by a target that is gone."""
    assert sorted(path.name for path in CORPUS.iterdir()) == sorted(NAMES)
