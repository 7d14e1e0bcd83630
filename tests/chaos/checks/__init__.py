"""The invariants of docs/design/faults.md, one file per group."""
