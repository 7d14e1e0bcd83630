"""W3C Trace Context: the ``traceparent`` header (https://www.w3.org/TR/trace-context/, version 00)."""

import re

import msgspec

_PATTERN = re.compile(r"\A([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?\Z")
_SAMPLED = 0x01


class TraceParent(msgspec.Struct, frozen=True):
    """A parsed ``traceparent``: two ids of 32 and 16 lower-case hex digits, neither all zero, and the sampled flag."""

    trace_id: str
    span_id: str
    sampled: bool = True

    @classmethod
    def parse(cls, header: str | None) -> "TraceParent | None":
        """Return the trace context in `header`, or None if the header is absent or invalid."""
        match = _PATTERN.match(header or "")
        if match is None:
            return None
        version, trace_id, span_id, flags, more = match.groups()
        if version == "ff" or (version == "00" and more) or not int(trace_id, 16) or not int(span_id, 16):
            return None
        return cls(trace_id, span_id, bool(int(flags, 16) & _SAMPLED))

    def header(self) -> str:
        """Return the value of a ``traceparent`` header."""
        return f"00-{self.trace_id}-{self.span_id}-{'01' if self.sampled else '00'}"
