import resource
import stat
from contextlib import contextmanager

import pytest

from weir.console.sessions import LINK_SECONDS, SESSION_SECONDS, Sessions, ensure_token, link_token, token_path
from weir.errors import StackError

SECRET = "s" * 43


class Clock:
    def __init__(self):
        self.now = 1_000_000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def sessions(clock):
    return Sessions(SECRET, clock)


def test_the_secret_is_created_once_for_its_owner_only(tmp_path):
    secret = ensure_token(tmp_path)
    assert len(secret) == 43
    assert stat.S_IMODE(token_path(tmp_path).stat().st_mode) == 0o600
    assert ensure_token(tmp_path) == secret


@contextmanager
def no_file_can_grow():
    """Writing to a file fails, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_secret_that_could_not_be_written_is_created_later(tmp_path):
    with pytest.raises(OSError, match="File too large"), no_file_can_grow():
        ensure_token(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [".console-token.lock"]
    assert len(ensure_token(tmp_path)) == 43


def test_a_short_secret_is_an_error_with_a_remedy(tmp_path):
    token_path(tmp_path).write_text("short\n")
    with pytest.raises(StackError, match="has 5 characters, a token has 43; delete it"):
        ensure_token(tmp_path)


def test_a_link_works_once(sessions, clock):
    token = link_token(SECRET, clock.now)
    cookie = sessions.redeem(token)
    assert sessions.session(cookie)
    assert sessions.redeem(token) is None
    assert sessions.redeem(link_token(SECRET, clock.now)) not in (None, cookie), "a new link creates a new session"


def test_a_link_is_invalid_after_its_expiry_and_after_a_restart(clock):
    token = link_token(SECRET, clock.now)
    clock.now += LINK_SECONDS + 1
    assert Sessions(SECRET, Clock()).redeem(token), "valid before its expiry"
    assert Sessions(SECRET, clock).redeem(token) is None, (
        "older than the process: it may have been used before the restart"
    )
    old = Sessions(SECRET, clock)
    late = link_token(SECRET, clock.now)
    clock.now += LINK_SECONDS + 1
    assert old.redeem(late) is None


def test_a_session_expires(sessions, clock):
    cookie = sessions.redeem(link_token(SECRET, clock.now))
    clock.now += SESSION_SECONDS + 1
    assert sessions.session(cookie) == ""


@pytest.mark.parametrize("forged", ["", ".", "1-ab.", "9999999999-ab.0000", "a.b.c", "é"])
def test_a_forged_token_is_invalid(sessions, forged):
    assert sessions.redeem(forged) is None
    assert sessions.session(forged) == ""
    assert not sessions.bearer(forged)


def test_links_and_sessions_are_not_interchangeable(sessions, clock):
    token = link_token(SECRET, clock.now)
    assert sessions.session(token) == ""
    assert sessions.redeem(sessions.redeem(token)) is None


def test_the_secret_of_another_stack_is_invalid(sessions, clock):
    assert sessions.redeem(link_token("t" * 43, clock.now)) is None
    assert not sessions.bearer("t" * 43)
    assert sessions.bearer(SECRET)
