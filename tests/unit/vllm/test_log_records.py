"""The log of vLLM in a replica contains no text of requests."""

import io
import logging

import pytest

from serving.vllm.log_records import leave_out_messages

SECRET = "canary-5d2e"


@pytest.fixture
def logged():
    """Return a function that logs to the logger with a name and returns the line."""
    factory = logging.getLogRecordFactory()
    leave_out_messages()

    def log(name, *args, level=logging.WARNING, **kwargs):
        handler = logging.StreamHandler(out := io.StringIO())
        handler.setFormatter(logging.Formatter("%(levelname)s %(message)s"))
        logger = logging.getLogger(name)
        before, logger.level = logger.level, logging.INFO
        logger.addHandler(handler)
        try:
            logger.log(level, *args, **kwargs)
        finally:
            logger.removeHandler(handler)
            logger.level = before
        return out.getvalue()

    yield log
    logging.setLogRecordFactory(factory)


@pytest.mark.parametrize("level", [logging.INFO, logging.WARNING, logging.ERROR])
@pytest.mark.parametrize("args", [("node %s", SECRET), (f"node {SECRET}",), ("%(node)s", {"node": SECRET})])
def test_a_record_of_vllm_has_its_module_and_line_and_no_message(logged, args, level):
    line = logged("vllm.tool_parsers.utils", *args, level=level)
    assert line.startswith(f"{logging.getLevelName(level)} (line ")
    assert "of vllm.tool_parsers.utils" in line
    assert SECRET not in line


def test_an_exception_of_vllm_has_its_class_and_stack_and_no_text(logged):
    try:
        compile(f"{SECRET} is no code", "", "eval")
    except SyntaxError:
        line = logged("vllm.tool_parsers.utils", "failed", exc_info=True)
    assert "in test_an_exception_of_vllm_has_its_class_and_stack_and_no_text" in line
    assert line.endswith("\nSyntaxError\n")
    assert SECRET not in line


@pytest.mark.parametrize("name", ["vllm.v1.metrics.loggers", "serving.vllm.vllm_server", "vllmish"])
def test_other_records_and_those_of_metrics_are_not_changed(logged, name):
    assert logged(name, "%d running", 3) == "WARNING 3 running\n"
