"""End-to-end tests of a whole stack, started by ``weir up``."""
