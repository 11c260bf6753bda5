"""A cluster of raft cores in one process, driven from one seed, with everything going wrong that can.

`world` runs the events, `machine` is a node with its disk and driver, `faults` decides what goes wrong, `witness` holds
what must be true after every step. The same seed gives the same history, event for event.
"""
