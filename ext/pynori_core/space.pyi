"""Types of the space report."""

from typing import TypedDict

from pynori_core.items import DocumentStore

class TreeSpace(TypedDict):
    name: str
    entries: int
    branch_bytes: int
    leaf_bytes: int
    run_bytes: int

class CollectionSpace(TypedDict):
    name: str
    documents: int
    document_bytes: int
    tombstones: int
    tombstone_bytes: int
    versions: int
    version_bytes: int

class Space(TypedDict):
    file_bytes: int
    free_bytes: int
    structure_bytes: int
    version_bytes: int
    trees: list[TreeSpace]
    collections: list[CollectionSpace]

def space(store: DocumentStore, collections: bool = False) -> Space: ...
