"""RQL, the query language: text in, a tree of frozen values out. What it reads is written in GRAMMAR.md."""
