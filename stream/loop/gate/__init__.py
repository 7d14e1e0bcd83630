"""The gate: a challenger is blessed if it is not worse than the champion, and if its dataset is not poisoned."""
