"""Detection of personal data by patterns, checksums, context words and a neural tagger (the token head)."""
