"""Training of the shipped weights; nothing here is imported when a detector runs."""
