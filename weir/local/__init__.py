"""Supervision of a stack on one machine: start, watch, restart, stop, and say what runs."""

from weir.local.stack_state import ComponentState, components

__all__ = ["ComponentState", "components"]
