"""The state that a cluster agrees on: databases, identities, configuration, each change under a raft index."""
