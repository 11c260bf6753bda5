"""Places: shapes and their texts, how they relate, the cells that stand for them in an index, distances."""
