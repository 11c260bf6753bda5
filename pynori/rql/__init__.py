"""RQL, the query language: text in, a tree of frozen values out. What it reads is written in GRAMMAR.md."""

from pynori.rql.format import format_expression, format_query
from pynori.rql.parser import parse

__all__ = ["format_expression", "format_query", "parse"]
