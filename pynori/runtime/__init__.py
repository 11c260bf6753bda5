"""The seams to the world: time, randomness, tasks, log lines, metrics and codecs."""
