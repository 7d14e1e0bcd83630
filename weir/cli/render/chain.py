"""A chain of causes as text: one line for each step, oldest first."""

from collections.abc import Iterator

from stream.count_text import count_text
from stream.loop.lineage.chain import ROUTED_STATES, Chain, Edge, Node
from stream.wire import format_time
from weir.cli.render.output import printable

#: Requests that the text lists; --json has all.
_REQUESTS = 10
_ORDER = (
    "request", "alert", "requested", "approved", "dataset", "trained", "completed", "model", "blessed", "refused",
    *ROUTED_STATES, "route",
)  # fmt: skip


def chain_lines(chain: Chain, *, only_broken: bool = False) -> Iterator[str]:
    """Yield the lines of a chain; with `only_broken` only its broken edges. No name in it controls the terminal."""
    return (printable(line, kept="") for line in _lines(chain, only_broken=only_broken))


def _lines(chain: Chain, *, only_broken: bool) -> Iterator[str]:
    if not only_broken:
        yield f"{chain.version}  {chain.tenant} / {chain.model}"
        requests = [node for node in chain.nodes if node.kind == "request"]
        for node in sorted(chain.nodes, key=lambda node: (_ORDER.index(node.kind), node.at)):
            if node.kind != "request":
                yield _line(node)
        if requests:
            more = f" and {len(requests) - _REQUESTS} more" if len(requests) > _REQUESTS else ""
            yield f"  {'requests':<10} {', '.join(node.id for node in requests[:_REQUESTS])}{more}"
    for edge in chain.broken:
        yield f"  broken     {_name(edge)}: {edge.broken}"
    if not chain.broken:
        yield f"  {count_text(len(chain.edges), 'edge')} checked against Kafka's records, none is broken"


def _line(node: Node) -> str:
    texts_first = sorted(node.facts.items(), key=lambda fact: not isinstance(fact[1], str))
    facts = "  ".join(f"{name} {_shown(value)}" for name, value in texts_first)
    at = format_time(node.at) if node.at else ""
    return f"  {node.kind:<10} {at:<28} {node.id}  {facts}".rstrip()


def _shown(value: str | float) -> str:
    return value if isinstance(value, str) else f"{value:g}"


def _name(edge: Edge) -> str:
    return f"{edge.kind} {edge.cause or '?'} -> {edge.effect}"
