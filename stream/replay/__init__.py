"""Replay: runs another version of a detector over past offsets and compares the alerts of both versions."""
