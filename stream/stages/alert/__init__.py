"""The alert stage turns findings into alerts. An alert opens, changes and resolves under one id."""
