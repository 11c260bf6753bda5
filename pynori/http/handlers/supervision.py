"""The supervisor to look at and to hold: what it has decided and why, what the leader knows of nodes and instances."""

from __future__ import annotations

from pynori.http.request import Request
from pynori.http.response import Response, json_response


def decisions(request: Request) -> Response:
    """What the supervisor has decided lately and why, the oldest first."""
    state = request.server.state
    return json_response(
        {
            "LeaderNode": state.leader_tag or None,
            "Term": state.driver.term,
            "Suspended": state.is_suspended,
            "ObserverLog": [
                {
                    "Iteration": each["index"],
                    "Date": each["at"],
                    "Term": each["term"],
                    "Database": each["database"],
                    "Node": each["tag"],
                    "Kind": each["kind"],
                    "Message": f"{each['kind']} of node {each['tag']}: {each['reason']}",
                }
                for each in state.decisions()
            ],
        }
    )


async def suspend(request: Request) -> Response:
    """Have the supervisor decide nothing, or go on."""
    await request.server.state.suspend(request.flag("value"))
    return json_response({"Suspended": request.server.state.is_suspended})


def maintenance(request: Request) -> Response:
    """What the leader knows of the nodes and their instances; only the leader answers."""
    return json_response(request.server.supervision.health())
