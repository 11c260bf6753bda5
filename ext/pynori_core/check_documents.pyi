"""Types of the check of a database's tables."""

from typing import Any

def check_documents(owner: Any) -> list[str]: ...
