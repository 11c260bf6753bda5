"""The edge: RavenDB's HTTP wire over an asyncio protocol of our own. `listen` puts it on a server."""

from pynori.http.listener import Listener, listen

__all__ = ["Listener", "listen"]
