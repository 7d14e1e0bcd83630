"""A whole stack, as a user runs it."""
