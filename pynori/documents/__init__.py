"""One database: reading, writing, id ranges, statistics."""
