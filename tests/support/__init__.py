"""Code that several test suites share: a running stack, load, traces."""
