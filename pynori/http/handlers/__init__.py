"""One module per feature; a handler reads the request, asks the database or the cluster, and states the answer."""
