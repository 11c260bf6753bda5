"""Golden shapes: error bodies and results as the clients read them."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
from pynori_core import errors as engine

from pynori.errors import ConcurrencyError, DatabaseDoesNotExist, DocumentConflict, Overloaded
from pynori.http.response import etag_field, field
from pynori.http.shapes import command_result, error_response, humane_size


def test_error_body() -> None:
    """The four fields; `Error` begins with the type and holds the message."""
    response = error_response(ConcurrencyError("Document users/1 has moved"), "/databases/x/docs?id=users/1")
    assert response.status == 409
    assert json.loads(response.body) == {
        "Url": "/databases/x/docs?id=users/1",
        "Type": "Raven.Client.Exceptions.ConcurrencyException",
        "Message": "Document users/1 has moved",
        "Error": "Raven.Client.Exceptions.ConcurrencyException: Document users/1 has moved",
    }


def test_errors_with_more_to_say() -> None:
    """Extra fields of the body and extra header lines travel with their error."""
    body = json.loads(error_response(DocumentConflict("conflict", "users/1", 7), "/").body)
    assert (body["DocId"], body["LargestEtag"]) == ("users/1", 7)
    missing = error_response(DatabaseDoesNotExist("Käse\r\nX: y"), "/")
    assert missing.status == 503
    assert missing.fields.startswith(b"Database-Missing: K") and missing.fields.count(b"\r\n") == 1
    assert error_response(Overloaded("later"), "/").fields == b"Retry-After: 1\r\n"


def test_errors_of_the_engine() -> None:
    """An engine error becomes ours, with the same message."""
    response = error_response(engine.TooLarge("ID_SIZE_BYTES_MAX exceeded"), "/")
    assert response.status == 400
    assert json.loads(response.body)["Message"] == "ID_SIZE_BYTES_MAX exceeded"


def test_command_results() -> None:
    """PUT results have metadata names; DELETE results have plain ones; flags are there when there are any."""
    put = SimpleNamespace(
        kind="PUT", id="users/1", change_vector="A:1-x", collection="Users", last_modified="2026", flags=""
    )
    assert command_result(put) == {
        "Type": "PUT",
        "@id": "users/1",
        "@collection": "Users",
        "@change-vector": "A:1-x",
        "@last-modified": "2026",
    }
    put.flags = "HasRevisions"
    assert command_result(put)["@flags"] == "HasRevisions"
    gone = SimpleNamespace(kind="DELETE", id="users/1", change_vector="", deleted=False)
    assert command_result(gone) == {"Id": "users/1", "Type": "DELETE", "Deleted": False, "ChangeVector": None}


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 Bytes"), (1023, "1023 Bytes"), (65536, "64 KBytes"), (1_572_864, "1.5 MBytes"), (2**50, "1024 TBytes")],
)
def test_humane_sizes(size: int, text: str) -> None:
    """Sizes as people read them."""
    assert humane_size(size) == text


def test_header_lines() -> None:
    """A header line holds printable ASCII whatever its value was; etags are quoted."""
    assert field("X", "a\r\nb ä") == b"X: a%0D%0Ab %C3%A4\r\n"
    assert etag_field("A:1-x") == b'ETag: "A:1-x"\r\n'
