"""The documents that all contenders store: orders of exactly 1 KB of JSON text."""

from __future__ import annotations

import json
import random

SAMPLES = 256
SAMPLE_BYTES = 1024
WORDS = ["lorem", "ipsum", "dolor", "sit", "amet", "consectetur", "adipiscing", "elit", "sed", "tempor", "labore"]


def sample_documents(dice: random.Random) -> list[bytes]:
    """SAMPLES orders of SAMPLE_BYTES each."""
    made = []
    for _ in range(SAMPLES):
        lines = [
            {"Product": f"products/{dice.randrange(1000)}-A", "Name": " ".join(dice.sample(WORDS, 2)),
             "Quantity": dice.randrange(100), "PricePerUnit": dice.randrange(10_000) / 100}
            for _ in range(7)
        ]  # fmt: skip
        order = {"Company": f"companies/{dice.randrange(100)}-A", "OrderedAt": "2026-05-01T12:00:00.0000000Z",
                 "Lines": lines, "Note": "", "@metadata": {"@collection": "Orders"}}  # fmt: skip
        room = SAMPLE_BYTES - len(json.dumps(order, separators=(",", ":")))
        assert room > 0
        order["Note"] = "".join(dice.choice(" ".join(WORDS)) for _ in range(room))
        made.append(json.dumps(order, separators=(",", ":")).encode())
    return made
