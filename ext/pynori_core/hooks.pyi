"""Types of the debug build's hooks."""

NAMES: tuple[str, ...]

def live_handles() -> dict[str, int]: ...
