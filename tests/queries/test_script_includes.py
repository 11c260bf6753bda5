"""What scripts of a query bring along with its results."""

from __future__ import annotations

import json
from typing import Any

from tests.queries.conftest import Desk

Run = Any


def test_scripts_include_documents_and_values(desk: Run) -> None:
    """Documents and compare-exchange values that a declared function names come with the answer, once each; what is no
    id is passed over, what is a result itself is not repeated, and a plain include goes together with it."""

    async def test(desk: Desk) -> None:
        await desk.put("companies/1", "Companies", Key="town/1", Owner="people/1", Boss="people/2", Odd=7)
        await desk.put("companies/2", "Companies", Key="town/2", Owner="people/1", Next="companies/1")
        await desk.put("people/1", "People", Name="Ann")
        await desk.put("people/2", "People", Name="Bob")
        target = "/databases/db/cmpxchg?key=town/1&index=0"
        await desk.api.json("PUT", target, {"Object": {"City": "Torun"}})
        text = (
            "declare function named(c) { includes.cmpxchg(c.Key); includes.document([c.Owner, c.Odd, null]);"
            " include(c.Next); return { Key: c.Key }; }\n"
            "from Companies as c select named(c) include c.Boss"
        )
        answer = await desk.ask(text)
        assert [each["Key"] for each in answer["Results"]] == ["town/1", "town/2"]
        assert set(answer["Includes"]) == {"people/1", "people/2"}
        values = answer["CompareExchangeValueIncludes"]
        assert values["town/1"]["Value"]["Object"] == {"City": "Torun"}
        assert values["town/2"] == {"Key": "town/2", "Index": -1, "Value": None}

    desk(test)


def test_a_patch_may_name_includes(desk: Run) -> None:
    """They have no effect in a patch, whose answer brings nothing along."""

    async def test(desk: Desk) -> None:
        await desk.put("companies/1", "Companies", Owner="people/1")
        body = {"Patch": {"Script": "includes.document(this.Owner); include(this.Owner); this.Seen = true;"}}
        await desk.api.json("PATCH", "/databases/db/docs?id=companies/1", body)
        document = await desk.api.json("GET", "/databases/db/docs?id=companies/1")
        assert document["Results"][0]["Seen"] is True, json.dumps(document)

    desk(test)
