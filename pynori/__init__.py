"""Pynori, a distributed document database."""

__version__ = "0.1.0"
