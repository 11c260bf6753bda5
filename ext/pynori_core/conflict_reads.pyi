"""Types of conflicts."""

from typing import final

from pynori_core.items import DocumentStore

@final
class Version:
    id: str
    change_vector: str
    last_modified: str
    collection: str
    etag: int
    flags: str
    json: bytes | None

def conflict_versions(store: DocumentStore, id: str) -> list[Version]: ...
def conflicted_ids(store: DocumentStore, after: str, count: int) -> list[str]: ...
