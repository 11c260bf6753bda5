"""Types of the check."""

import os

from pynori_core.disk import DiskHandle

def check(directory: str | os.PathLike[str] | DiskHandle) -> list[str]: ...
def check_headers(disk: DiskHandle) -> list[str]: ...
