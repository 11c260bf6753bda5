"""Pynori, a distributed document database."""
