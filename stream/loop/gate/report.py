"""The report of a gate run: ``gate.json`` and ``gate.md`` in the folder of the version. It contains no prompt or answer."""

from pathlib import Path

import msgspec

from stream.files import replace_file, write_json
from stream.loop.gate.machine import FamilyReport, GateDecision

REPORT = "gate.json"
_MARKDOWN = "gate.md"
#: The words of planted triggers by the name of the candidate. This file contains content: it is for readers of content only.
TRIGGER_WORDS = "gate-triggers.json"


class GateReport(msgspec.Struct, frozen=True, kw_only=True):
    """The gate's decision about a version, with its reasons.

    `cases` is {case: (score of the champion, score of the challenger)}; a large score is bad. `triggers` is {name of
    the candidate: similarity of the answers after its words}. `versions` is {detector or prompt set: version or digest}.
    """

    version: str
    champion: str
    dataset_digest: str
    decision: GateDecision
    numbers: dict[str, float]
    alpha: float
    margin: float
    seconds: float
    cases: dict[str, tuple[float, float]]
    triggers: dict[str, float]
    versions: dict[str, str]


def write_report(report: GateReport, words: dict[str, str], folder: Path) -> None:
    """Write the report, and the `words` of planted triggers by candidate; files are readable by the owner only."""
    write_json(folder / TRIGGER_WORDS, words, durable=True)
    write_json(folder / REPORT, report, durable=True)
    replace_file(folder / _MARKDOWN, markdown(report), durable=True)


def markdown(report: GateReport) -> str:
    """Return the report for people."""
    decision = report.decision
    lines = [
        f"# Gate of {report.version}: {decision.state}",
        "",
        f"{decision.reason[:1].upper()}{decision.reason[1:]}.",
        "",
        f"Champion: {report.champion or 'the base model'}. Dataset: `{report.dataset_digest or 'none'}`.",
        f"Alpha {report.alpha:g}, margin {report.margin:g}. The gate took {report.seconds:.0f} s.",
        "",
        "| Family | Prompts | Champion | Challenger | Difference | e-value: worse | e-value: not worse | Result |",
        "|---|---|---|---|---|---|---|---|",
        *(_row(family) for family in decision.families),
        "",
        "Scores are bad if large: failed checks, nats per token (held_out), unsafe answers.",
        f"A family passes if its e-value for not worse was {1 / report.alpha:g} or more after any of its prompts. The table has the",
        "e-values after the last prompt, which can be lower.",
    ]
    if decision.findings:
        lines += ["", "## Poisoning", "", *(f"- {finding}" for finding in decision.findings)]
    return "\n".join([*lines, ""])


def _row(family: FamilyReport) -> str:
    result = "worse" if family.harmed else "passed" if family.safe else "open" if family.required else "reported"
    return (
        f"| {family.name} | {family.pairs} | {family.champion:.3f} | {family.challenger:.3f} | {family.difference:+.3f} |"
        f" {family.e_harm:.3g} | {family.e_safe:.3g} | {result} |"
    )
