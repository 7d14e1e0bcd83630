"""Counts the lines of Python that a call executes, so that a test of growth needs no clock."""

import sys
from collections.abc import Callable
from typing import Any


def executed_lines(call: Callable[[], Any]) -> int:
    """Return the number of lines that `call` executes in this thread, also in the functions that it calls."""
    count = 0

    def trace(_frame: Any, event: str, _argument: Any) -> Any:
        nonlocal count
        count += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        call()
    finally:
        sys.settrace(before)
    return count
