"""The log records of vLLM in a replica, without text of requests."""

import logging
import traceback
from typing import Any

_PACKAGE = "vllm."
#: Its records have only numbers.
_METRICS = "vllm.v1.metrics."


def leave_out_messages() -> None:
    """Reduce vLLM's later log records to their level, module and line, and the class and stack of an exception.

    vLLM's parsers of tool calls log arguments of calls as warnings, and messages of exceptions contain text too. Each new parser can add such
    a record, so no message is kept, whatever its level. Records of the engine's start are useful and have no text of requests, so call this
    function after the start.
    """
    create = logging.getLogRecordFactory()

    def without_message(*args: Any, **kwargs: Any) -> logging.LogRecord:
        record = create(*args, **kwargs)
        if record.name.startswith(_PACKAGE) and not record.name.startswith(_METRICS):
            record.msg = f"(line {record.lineno} of {record.name}; its message is left out, because it can contain text of a request)"
            record.args = ()
            if record.exc_info and (error := record.exc_info[1]):
                record.exc_text = "".join(traceback.format_tb(error.__traceback__)) + type(error).__name__
            record.exc_info = None
        return record

    logging.setLogRecordFactory(without_message)
