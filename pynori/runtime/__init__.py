"""The world outside, replaceable: clock, randomness, network, codecs."""
