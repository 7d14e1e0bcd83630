"""Faust with Weir's guarantees: no commit passes an unfinished record, state writes are awaited, a watchdog runs."""
