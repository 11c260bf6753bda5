from typing_extensions import Buffer

FLAGS: dict[str, int]


class JsonCodec:
    def parse(self, text: Buffer, flags: int = 0, repeat: int = 1) -> tuple[int, int]: ...
    def document(self) -> bytes: ...
    def collection(self) -> str | None: ...
    def write(self, document: Buffer, ascii_only: bool = False, repeat: int = 1) -> bytes: ...

    def write_document(
        self,
        document: Buffer,
        id: bytes | None = None,
        change_vector: bytes | None = None,
        flags: bytes | None = None,
        last_modified: bytes | None = None,
        more: bytes | None = None,
        metadata_only: bool = False,
    ) -> bytes: ...
