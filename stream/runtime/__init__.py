"""Faust as Weir needs it: commits that pass no unfinished record, awaited state, a watchdog, one factory of apps."""
