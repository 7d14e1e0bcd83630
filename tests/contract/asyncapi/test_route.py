"""The tables of docs/architecture.md agree with the flow of the contract."""

import re
from collections import defaultdict
from pathlib import Path

import pytest

from stream.contract.flow import CHANNELS, FLOW, channel_messages

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
#: A topic, and the event types that are written to it if those are not all types of the topic: `findings` (`finding`).
_TOPIC = re.compile(r"`(\w+)`(?: \(([^)]*)\))?")


def short(event_type):
    """Return an event type without prefix and version."""
    return event_type.removeprefix("weir.").rpartition(".v")[0]


def types_of(channel):
    return {short(event_type) for event_type in channel_messages(channel)}


def rows(heading):
    """Return the cells of the table under a heading."""
    section = PAGE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def topics(cell):
    """Return {topic: event types} of a cell; text that is not formatted as code names no topic."""
    return {
        channel: {name.strip("`") for name in types.split(", ")} if types else types_of(channel)
        for channel, types in _TOPIC.findall(cell)
    }


def flow():
    """Return {(process, module): (topics read, topics written)}."""
    steps = defaultdict(lambda: ({}, {}))
    for step in FLOW:
        for module in step.modules:
            read, written = steps[step.process, module]
            target = read if step.action == "receive" else written
            target[step.channel] = {short(event_type) for event_type in step.messages}
    return dict(steps)


def route():
    """Return the same from the table of the page, without rows that name no topic."""
    table = {
        (process, module.strip("`")): (topics(reads), topics(writes))
        for process, module, reads, writes in rows("The route of one event")
    }
    return {key: cells for key, cells in table.items() if any(cells)}


@pytest.mark.parametrize("key", sorted({*flow(), *route()}), ids=" ".join)
def test_each_row_of_the_route_has_the_topics_and_event_types_of_the_flow(key):
    assert route().get(key) == flow().get(key)


def named_topics(module):
    """Return the topics that the source of a module names."""
    name = re.compile(rf"\bnames\.({'|'.join(channel.name for channel in CHANNELS)})\b")
    # `weir status` reads only the offsets of the topics in lag.py.
    sources = [path.read_text("utf-8") for path in (ROOT / module).rglob("*.py") if path.name != "lag.py"]
    return {topic for source in sources for topic in name.findall(source)}


@pytest.mark.parametrize("module", sorted({module for step in FLOW for module in step.modules}))
def test_the_flow_has_each_topic_that_a_module_names(module):
    assert named_topics(module) - {step.channel for step in FLOW if module in step.modules} == set()


def test_the_modules_of_the_route_exist():
    modules = [row[1].strip("`") for row in rows("The route of one event")]
    assert len(modules) > len(CHANNELS)
    assert [module for module in modules if not (ROOT / module).exists()] == []


def test_the_topics_have_the_event_types_of_the_flow():
    written = {row[0].strip("`").removeprefix("weir."): set(re.findall(r"`([^`]+)`", row[2])) for row in rows("Topics")}
    assert written.pop("inference.dlq") == set(), "a dead letter has no event type"
    channels = [channel.name for channel in CHANNELS if channel.name != "dead_letters"]
    assert written == {channel: types_of(channel) for channel in channels}


def test_cells_with_different_event_types_are_not_equal():
    assert topics("`findings` (`finding`), `signals`") == {"findings": {"finding"}, "signals": {"signal", "tick"}}
    assert topics("`findings`") != topics("`findings` (`finding`)")
    assert topics("HTTP requests") == {}
