"""Expressions: one tree for conditions and computed fields, whatever language they came in, and its flat program."""
