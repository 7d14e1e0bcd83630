"""``weir retraining`` as text: suppressions with the same failing gates are one entry."""

import io
import re

import pytest
from rich.console import Console

from weir.cli.render.retraining import retraining_view
from weir.client import Retraining


def event(number, state="suppressed", *, model="m", **gates):
    where = {"tenant": "acme", "model": model, "at": 1_000.0 + number, "alert_ids": ("al_1",), "data": None}
    reason = f"has {number} windows, needs 9"
    return Retraining(retraining_id=f"rt_{number}", state=state, reason=reason, gates=gates, **where)


WINDOWS = {"windows": False, "agree": True}
BOTH = {"windows": False, "agree": False}
EVENTS = [
    event(1, **WINDOWS),
    event(2, **WINDOWS),
    event(3, **BOTH),
    event(4, "requested", windows=True, agree=True),
    event(5, **WINDOWS),
    event(6, model="other", **WINDOWS),
]


def shown(events, *, follow, terminal=False):
    """Return the lines on the console after all events."""
    out = io.StringIO()
    console = Console(file=out, width=240, force_terminal=terminal, markup=False, legacy_windows=False)
    with retraining_view(console, follow=follow) as show:
        for one in events:
            show(one)
    return out.getvalue().splitlines()


def test_an_entry_has_its_newest_reason_and_count_at_the_position_of_its_newest_event():
    lines = shown(EVENTS, follow=False)
    assert [re.search(r"rt_\d", line).group() for line in lines] == ["rt_3", "rt_4", "rt_5", "rt_6"]
    assert "has 5 windows" in lines[2]
    assert "3 times since" in lines[2]
    assert not any("times" in line for line in (lines[0], lines[1], lines[3]))


def test_a_state_names_its_version_and_only_the_alerts_that_it_has():
    at = {"tenant": "acme", "model": "m", "at": 1_000.0, "data": None, "model_version": "m_1", "retraining_id": "rt_1"}
    trained = Retraining(state="trained", numbers={"step": 4, "steps": 4, "loss": 5.5, "seconds": 42.0}, reason="", alert_ids=("al_1",), **at)  # fmt: skip
    canary = Retraining(state="canary", reason="blessed", alert_ids=(), **at)
    first, second = shown([trained, canary], follow=False)
    assert first.endswith("acme/m  m_1  step 4 of 4, loss 5.500, 42 s  (rt_1, 1 alert)")
    assert second.endswith("acme/m  m_1  blessed  (rt_1)")


def test_events_without_gates_are_grouped_by_their_reason():
    assert len(shown([event(1), event(1), event(2)], follow=False)) == 2


def test_a_pipe_gets_each_event_at_once():
    lines = shown(EVENTS, follow=True)
    assert [re.search(r"rt_\d", line).group() for line in lines] == [f"rt_{number}" for number in range(1, 7)]
    assert not any("times" in line for line in lines)


@pytest.mark.parametrize("entries", [1, 12])
def test_on_a_terminal_a_repeated_suppression_is_redrawn_and_none_is_lost(entries):
    events = [event(number, model=f"m{number % entries}", **WINDOWS) for number in range(entries * 3)]
    text = "\n".join(shown(events, follow=True, terminal=True))
    assert "\x1b[2K" in text, "lines are redrawn"
    assert all(f"acme/m{number}" in text for number in range(entries))
    assert "3 times since" in text.rpartition("\x1b[2K")[2]
