"""Speaking to a server over HTTP; what the command line's own verbs need."""
