"""One server process: its state, its databases, its operations, and the order in which they start and stop."""
