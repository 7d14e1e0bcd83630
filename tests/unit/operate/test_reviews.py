"""Answers that a reviewer can correct or approve."""

import pytest
from support.console_ledger import LedgerMaker
from support.ledger_log import end, request

from weir.errors import NotFoundError, SettingsError
from weir.operate.request_story import read_story
from weir.operate.reviews import correction_of


@pytest.fixture
def home(tmp_path):
    maker = LedgerMaker(tmp_path / "ledger")
    maker.apply("weir.inference", request("r1", 1.0), end("r1", 2.0), request("open", 1.0))
    maker.apply("weir.inference", request("copy", 3.0, shadow_of="r1"), end("copy", 4.0, shadow_of="r1"))
    maker.close()
    return tmp_path


def judged(home, request_id, **given):
    given = {"answer": "", "comment": "", "approved": False, "by": "console:ann"} | given
    return correction_of(read_story(home, request_id), **given)


def test_an_answer_is_corrected_or_approved(home):
    assert judged(home, "r1", answer="At 9.").answer == "At 9."
    assert judged(home, "r1", approved=True).approved


@pytest.mark.parametrize("given", [{"answer": "At 9."}, {"approved": True}])
def test_a_copy_is_not_reviewed_and_the_request_of_the_user_is_named(home, given):
    with pytest.raises(
        SettingsError, match="copy is a copy that Weir sent, whose answer no user received; review request r1"
    ):
        judged(home, "copy", **given)


def test_a_request_without_an_answer_is_not_reviewed(home):
    with pytest.raises(NotFoundError, match="request open has no answer in the ledger"):
        judged(home, "open", approved=True)
