"""The alert stage: findings become alerts that open, change, and resolve, each under one id."""
