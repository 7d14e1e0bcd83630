"""The origin of a model version: the chain from requests to the route, each edge checked against the log."""
