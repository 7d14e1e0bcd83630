"""The processes of a stack: ``python -m weir.component NAME``."""
