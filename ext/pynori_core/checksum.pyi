from typing_extensions import Buffer

PATHS: dict[str, int]


def xxh3_64_of(data: Buffer, seed: int = 0, path: str | None = None) -> int: ...
def xxh3_128_of(data: Buffer, seed: int = 0, path: str | None = None) -> int: ...
