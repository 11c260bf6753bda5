"""Types of the check."""

import os

from pynori_core.disk import DiskHandle
from pynori_core.env import Env

def check(directory: str | os.PathLike[str] | DiskHandle) -> list[str]: ...
def check_environment(env: Env) -> list[str]: ...
def check_headers(disk: DiskHandle) -> list[str]: ...
