"""What several suites share: a running stack, load, traces."""
