"""Replay: runs another version of a detector over past offsets and compares its alerts; the running stack is not changed."""
