"""Types of looking over JSON text."""

from typing_extensions import Buffer

def has_fragile_number(text: Buffer) -> bool: ...
