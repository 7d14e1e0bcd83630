"""Training: from a dataset and a base model to a signed model version, in a process that survives kill -9."""
