"""Personal data: patterns, checksums, context words and a token head."""
