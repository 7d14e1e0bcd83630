import subprocess
import sys

import httpx
import pytest

from weir.local import trace_retention


class Stopped(Exception):
    pass


def test_many_old_traces_are_deleted_in_batches_and_a_failed_attempt_is_repeated(monkeypatch, caplog):
    answers = iter([500, 500, 3, httpx.ConnectError("refused"), 0])
    asked, pauses = [], []

    def delete(*arguments):
        asked.append(arguments)
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def sleep(seconds):
        pauses.append(seconds == trace_retention._BATCH_PAUSE_SECONDS)
        if len(pauses) == 6:
            raise Stopped

    monkeypatch.setattr(trace_retention, "delete_traces", delete)
    monkeypatch.setattr(trace_retention.time, "sleep", sleep)
    monkeypatch.setattr(trace_retention.time, "time", lambda: 1_000_000.0)
    with pytest.raises(Stopped):
        trace_retention.run("http://mlflow", 168)
    assert set(asked) == {("http://mlflow", 1_000_000.0 - 168 * 3600)}
    assert pauses == [False, True, True, False, False, False]  # True: the short pause between two batches
    assert "refused" in caplog.text


@pytest.mark.parametrize("content", [b"<html>starting</html>", b"\xff", b"[]", b'{"traces_deleted": null}'])
def test_an_answer_that_is_not_mlflows_is_a_failed_attempt(monkeypatch, caplog, content):
    answers = iter([content, b'{"traces_deleted": 3}'])
    request = httpx.Request("POST", "http://mlflow")

    def post(*_arguments, **_options):
        if (answer := next(answers, None)) is None:
            raise Stopped
        return httpx.Response(200, content=answer, request=request)

    monkeypatch.setattr(trace_retention.httpx, "post", post)
    monkeypatch.setattr(trace_retention.time, "sleep", lambda _seconds: None)
    with pytest.raises(Stopped):
        trace_retention.run("http://mlflow", 168)
    (message,) = caplog.messages
    assert "the next attempt is in 10 minutes" in message


def test_the_arguments_of_a_former_version_delete_nothing():
    """They had an experiment before the hours, which would be read as a retention of 0 hours."""
    command = [sys.executable, "-m", "weir.local.trace_retention", "http://127.0.0.1:9", "0", "168"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, "too many values" in done.stderr) == (1, True)
