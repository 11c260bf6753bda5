"""Patches of single documents: by a script, or by JSON Patch; and their shapes, which batches share."""

from __future__ import annotations

from typing import Any

import msgspec
from pynori_core.blittable import Document, parse_json
from pynori_core.errors import EngineError

from pynori.documents.json_patch import JsonPatch
from pynori.documents.patch import (
    CREATED,
    DOCUMENT_DOES_NOT_EXIST,
    SKIPPED,
    PatchCommand,
    PatchResult,
    PatchScript,
)
from pynori.documents.prepare import Results
from pynori.errors import InvalidArgument, InvalidJson, from_engine
from pynori.http.request import Request
from pynori.http.response import Deferred, Reply, Response, encode_json

NULL = msgspec.Raw(b"null")


class ScriptBody(msgspec.Struct):
    """A script as clients send it."""

    Script: str | None = None
    Values: msgspec.Raw = NULL

    def as_script(self) -> PatchScript:
        """Raises InvalidArgument, InvalidJson."""
        if not self.Script or self.Script.isspace():
            raise InvalidArgument("a patch must have a 'Script'")
        values = bytes(self.Values)
        if values == b"null":
            return PatchScript(self.Script)
        try:
            is_object = isinstance(parse_json(values), Document)
        except EngineError as error:
            raise from_engine(error) from error
        if not is_object:
            raise InvalidArgument("'Values' of a patch must be an object")
        return PatchScript(self.Script, values)


class PatchBody(msgspec.Struct):
    """The body of a patch."""

    Patch: ScriptBody
    PatchIfMissing: ScriptBody | None = None


decode_patch = msgspec.json.Decoder(PatchBody).decode


def patch(request: Request) -> Reply:
    """Change one document by a script. With `test` nothing is written, with `debug` the answer says more."""
    database = request.open_database().database
    try:
        body = decode_patch(request.body)
    except msgspec.ValidationError as error:
        raise InvalidArgument(f"the patch is not of the form {{\"Patch\": {{\"Script\": ...}}}}: {error}") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidJson(f"the request body is not valid JSON: {error}") from None
    is_test = request.flag("test")
    command = PatchCommand(
        request.required("id"),
        body.Patch.as_script(),
        None if body.PatchIfMissing is None else body.PatchIfMissing.as_script(),
        expected_change_vector=request.etag(b"if-match"),
        skip_on_mismatch=request.flag("skippatchifchangevectormismatch"),
        is_test=is_test,
    )
    is_debug = is_test or request.flag("debug")
    return Deferred(database.prepare([command]), lambda results: patch_answer(results, is_debug))


def json_patch(request: Request) -> Reply:
    """Change one document by the operations of a JSON Patch."""
    database = request.open_database().database
    command = PatchCommand(
        request.required("id"), JsonPatch.parse(request.body), expected_change_vector=request.etag(b"if-match")
    )
    return Deferred(database.prepare([command]), lambda results: patch_answer(results, False))


def patch_answer(results: Results, is_debug: bool) -> Response:
    (result,) = results
    assert isinstance(result, PatchResult)
    if result.status in (DOCUMENT_DOES_NOT_EXIST, SKIPPED):
        return Response(404 if result.status == DOCUMENT_DOES_NOT_EXIST else 304)
    shape = {
        "Status": result.status,
        "ModifiedDocument": raw(result.modified_document()),
        "OriginalDocument": raw(result.original) if is_debug else None,
        "Debug": debug_shape(result) if is_debug else None,
    }
    if result.change_vector:
        shape["ChangeVector"] = result.change_vector
        shape["LastModified"] = result.last_modified
        shape["Collection"] = result.collection
    return Response(201 if result.status == CREATED else 200, encode_json(shape))


def debug_shape(result: PatchResult) -> dict[str, Any]:
    """What a script put out, loaded and wrote."""
    puts = [{"Id": one.id, "Data": one.body} for one in result.writes if one.kind == "put"]
    return {
        "Info": list(result.output),
        "Actions": {
            "PutDocument": puts,
            "LoadDocument": list(result.loads),
            "DeleteDocument": [one.id for one in result.writes if one.kind == "del"],
        },
    }


def command_shape(result: PatchResult, kind: str, with_document: bool) -> dict[str, Any]:
    """One entry of a batch's `Results`. kind: the command's type."""
    shape: dict[str, Any] = {
        "Id": result.id,
        "ChangeVector": result.change_vector or None,
        "LastModified": result.last_modified or None,
        "Type": kind,
        "PatchStatus": result.status,
        "Debug": None,
    }
    if with_document:
        shape["ModifiedDocument"] = raw(result.modified_document())
    return shape


def raw(document: bytes | None) -> msgspec.Raw:
    return NULL if document is None else msgspec.Raw(document)
