"""One set of files for server and library: a server's database is opened embedded, and an embedded one by a server."""

from pathlib import Path

import pytest

import pynori
from pynori.errors import DatabaseInUse


def test_there_and_back(serve, tmp_path: Path) -> None:
    """The library reads what the server wrote and the server what the library wrote; never both at a time."""
    data = tmp_path / "data"
    folder = data / "Databases" / "shop"
    with serve("--data-dir", str(data)) as server:
        server.call("PUT", "/admin/databases?name=shop", {"DatabaseName": "shop"})
        server.call("PUT", "/databases/shop/docs?id=users/1", {"name": "Ada", "@metadata": {"@collection": "Users"}})
        with pytest.raises(DatabaseInUse, match=f"by process {server.process.pid} "):
            pynori.open(folder)
        assert server.terminate()[0] == 0
    with pynori.open(folder, create=False) as database:
        ada = database.get("users/1")
        assert ada is not None and ada.collection == "Users"
        database.put("users/2", ada | {"friend": "users/1"}, collection="Users")
    with pynori.open(data / "Databases" / "grown") as database:
        database.put("dogs/1", {"name": "Rex"}, collection="Dogs")
    with serve("--data-dir", str(data)) as server:
        friend = server.call("GET", "/databases/shop/docs?id=users/2")["Results"][0]
        assert (friend["name"], friend["friend"]) == ("Ada", "users/1")
        # A folder that the server does not know becomes a database of it by creating one of that name.
        server.call("PUT", "/admin/databases?name=grown", {"DatabaseName": "grown"})
        assert server.call("GET", "/databases/grown/docs?id=dogs/1")["Results"][0]["name"] == "Rex"
        assert server.terminate()[0] == 0
