"""The tree of errors: each with a wire name, a status and a code; the engine's errors all have one of ours."""

import pytest
from pynori_core import errors as engine

from pynori import __version__, errors, limits


def subclasses(kind: type) -> list[type]:
    return [each for child in kind.__subclasses__() for each in (child, *subclasses(child))]


def test_every_error_has_its_own_code() -> None:
    """Codes are stable names: no two classes share one, and each wire name is a full .NET type name.

    What no client has a class for has a name under "Pynori.": clients raise their general exception for it.
    """
    found: dict[str, str] = {}
    for kind in subclasses(errors.PynoriError):
        assert kind.code not in found, f"{kind.__name__} and {found.get(kind.code)} are both {kind.code}"
        found[kind.code] = kind.__name__
        assert kind.wire_name.startswith(("Raven.Client.Exceptions.", "System.", "Pynori.")) and kind.__doc__
        assert kind.status in (400, 403, 408, 409, 410, 413, 500, 503, 507)


@pytest.mark.parametrize("kind", subclasses(engine.EngineError), ids=lambda kind: kind.__name__)
def test_engine_errors_become_ours(kind: type[engine.EngineError]) -> None:
    """Each of the engine's errors has one of ours with the same words, and stays attached as its cause."""
    original = kind("page 41")
    ours = errors.from_engine(original)
    assert str(ours) == "page 41" and ours.__cause__ is original
    assert (type(ours) is errors.InternalError) == (kind is engine.InvariantError)


def test_known_names_and_statuses() -> None:
    """The ones that clients decide by: name and status as the protocol has them."""
    expected = {
        errors.ConcurrencyError("x"): ("ConcurrencyException", 409),
        errors.DocumentConflict("x"): ("DocumentConflictException", 409),
        errors.DatabaseDoesNotExist("x"): ("DatabaseDoesNotExistException", 503),
        errors.DatabaseDisabled("x"): ("DatabaseDisabledException", 503),
        errors.IndexDoesNotExist("x"): ("IndexDoesNotExistException", 500),
        errors.RequestTimeout("x"): ("TimeoutException", 408),
        errors.BulkInsertAborted("x"): ("BulkInsertAbortedException", 500),
    }
    for error, (name, status) in expected.items():
        assert (error.wire_name.rpartition(".")[2], error.status) == (name, status)
    assert isinstance(errors.RequestTimeout("x"), TimeoutError)


def test_limits_contradict_each_other_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """The inequalities hold, and breaking one is noticed by name."""
    limits.check()
    monkeypatch.setattr(limits, "DOCUMENT_SIZE_BYTES_MAX", limits.BATCH_SIZE_BYTES_MAX + 1)
    with pytest.raises(AssertionError, match="a document fits a batch"):
        limits.check()


def test_version_is_the_packages_version() -> None:
    """The version that the program tells is the one that it is installed under."""
    from pathlib import Path

    text = (Path(__file__).resolve().parent.parent / "pyproject.toml").read_text()
    assert f'version = "{__version__}"' in text
