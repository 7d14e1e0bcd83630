"""The access log: one entry for each access to a text; if the entry cannot be written, the text is not read."""

import json

import pytest

from weir.errors import WeirError
from weir.home.access_log import log_access


def test_an_access_that_cannot_be_logged_is_an_error_with_the_reason(tmp_path):
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "access.log").symlink_to("/dev/full")
    with pytest.raises(WeirError, match=r"access\.log \(No space left on device\)"):
        log_access(tmp_path, "weir show --text", request_id="r1")


def test_an_entry_that_a_full_disk_truncated_does_not_damage_the_next_entry(tmp_path):
    path = log_access(tmp_path, "weir show --text", request_id="r1")
    with path.open("a") as log:
        log.write('{"time": 17')
    log_access(tmp_path, "weir show --text", request_id="r2")
    first, cut, last = path.read_text().splitlines()
    assert (json.loads(first)["request_id"], cut, json.loads(last)["request_id"]) == ("r1", '{"time": 17', "r2")
