"""The C# LINQ subset of index definitions: `parse_map` and `parse_reduce` of `pynori.linq.lower`. See SUBSET.md."""
