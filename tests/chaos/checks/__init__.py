"""The invariants of faults.md, one file a group."""
