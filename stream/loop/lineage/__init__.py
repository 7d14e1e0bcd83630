"""Where a model version came from: the chain from requests to the route, each edge checked against the log."""
