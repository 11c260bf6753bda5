"""RavenDB's shapes of errors and results, so that handlers state values and not spelling."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from pynori_core.errors import EngineError

from pynori.errors import InternalError, PynoriError, from_engine
from pynori.http.response import Response, encode_json, field

if TYPE_CHECKING:
    from pynori.documents.database import CommandResult

log = logging.getLogger("pynori.http")


def error_body(error: PynoriError, url: str) -> dict[str, Any]:
    """The body of an error answer. `Error` begins with the type's name and contains the message: clients show it."""
    name = error.wire_name
    return {
        "Url": url,
        "Type": name,
        "Message": error.message,
        "Error": f"{name}: {error.message}",
        **error.body_fields(),
    }


def as_pynori_error(error: BaseException, url: str) -> PynoriError:
    """Any failure of a handler as an error with a wire name. What nobody foresaw is logged and named a defect."""
    if isinstance(error, PynoriError):
        return error
    if isinstance(error, EngineError):
        return from_engine(error)
    log.error("unexpected failure at %s", url, exc_info=error)
    return InternalError(f"the server failed unexpectedly: {type(error).__name__}: {error}")


def error_response(error: BaseException, url: str, close: bool = False) -> Response:
    known = as_pynori_error(error, url)
    fields = b"".join(field(name, value) for name, value in known.headers().items())
    return Response(known.status, encode_json(error_body(known, url)), fields, close=close)


def operation_failure(error: BaseException, url: str) -> dict[str, Any]:
    """The `Result` of an operation that faulted."""
    known = as_pynori_error(error, url)
    return {
        "Type": known.wire_name,
        "StatusCode": 500,
        "Message": known.message,
        "Error": f"{known.wire_name}: {known.message}",
    }


def command_result(result: CommandResult) -> dict[str, Any]:
    """One entry of a batch's `Results`."""
    if result.kind == "PUT":
        shape = {
            "Type": "PUT",
            "@id": result.id,
            "@collection": result.collection,
            "@change-vector": result.change_vector,
            "@last-modified": result.last_modified,
        }
        if result.flags:
            shape["@flags"] = result.flags
        return shape
    return {
        "Id": result.id,
        "Type": "DELETE",
        "Deleted": result.deleted,
        "ChangeVector": result.change_vector or None,
    }


def size_shape(size_bytes: int) -> dict[str, Any]:
    return {"SizeInBytes": size_bytes, "HumaneSize": humane_size(size_bytes)}


def humane_size(size_bytes: int) -> str:
    """A size as RavenDB's clients and Studio show it, such as `64 KBytes` or `1.5 MBytes`."""
    if size_bytes < 1024:
        return f"{size_bytes} Bytes"
    size = float(size_bytes)
    for unit in ("KBytes", "MBytes", "GBytes", "TBytes"):
        size /= 1024
        if size < 1024 or unit == "TBytes":
            break
    return f"{size:.2f}".rstrip("0").rstrip(".") + f" {unit}"
