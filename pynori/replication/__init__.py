"""Replication: items of one database on their way to another, and conflicts between versions; see PROTOCOL.md."""
