"""Types of the scrubber."""

from pynori_core.items import DocumentStore

def scrub(store: DocumentStore, page: int, pages_max: int) -> tuple[int, int, list[tuple[int, int, str]]]: ...
