"""Replay: what another version of a detector would have alerted on over past offsets; nothing of the running stack is touched."""
