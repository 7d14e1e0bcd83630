"""One run of the gate: dataset checks, held-out conversations, safety prompts, tasks, then the scan for triggers.

The steps are ordered by their cost. A run stops when the challenger is proven worse, and a family stops when it has passed.
"""

import hashlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from stream.loop.cases import SafetyPrompt, Task, digest_of_cases, load_safety, load_tasks, messages_of, task_score
from stream.loop.dataset.files import read_rows
from stream.loop.dataset.rows import Row, Turn
from stream.loop.gate.machine import HELD_OUT_CLIP, Family, Finding, GateMachine
from stream.loop.gate.poisoning import poisoning
from stream.loop.gate.report import GateReport
from stream.loop.gate.safety import SafetyScorer, unsafe_scores
from stream.loop.gate.triggers import BothArms, candidates, planted, probes
from stream.loop.sequential import Arm
from stream.loop.settings import LoopSettings
from stream.loop.smaller.text import load_passages, passages_digest, split

Progress = Callable[[str, float], None]
"""Called with the family that runs and its completed share, in [0, 1]."""

#: Number of prompts between two checks of the evidence and the clock.
_BATCH = 32
_HELD_OUT_TOKENS = 256
_MOST_HELD_OUT = 200
#: Ordinary prompts to which the words of a possible trigger are appended.
_CARRIERS = 4
_OUT_OF_TIME = "out of time: raise max_seconds"


class GateRun(msgspec.Struct, frozen=True, kw_only=True):
    """The input of a run: the version, its champion ("" is the base), and the folder of its dataset.

    A version without its own dataset has passages of the built-in text as held-out conversations. If the version was
    made smaller from a trained version, `inherited` is the folder of the trained version's dataset, because a poisoned
    dataset also poisons the versions made from it. `detector_options` are the settings ``[detectors.options]``.
    """

    version: str
    dataset: Path | None
    settings: LoopSettings
    champion: str = ""
    dataset_digest: str = ""
    inherited: Path | None = None
    detector_options: dict[str, dict[str, Any]] = {}


def run_gate(
    run: GateRun,
    arms: Callable[[], BothArms],
    progress: Progress,
    clock: Callable[[], float] = time.monotonic,
) -> tuple[GateReport, dict[str, str]]:
    """Return the report of a run, and the words of planted triggers by the name of the candidate; the words are content.

    `arms` loads the model, and is not called if the dataset is poisoned.

    Raises DatasetDamaged or GateError if a file is missing or invalid, and DetectorError if a detector cannot be loaded.
    """
    of_run = _Run(run, progress, clock)
    return of_run.report(arms), of_run.trigger_words


class _Run:
    def __init__(self, run: GateRun, progress: Progress, clock: Callable[[], float]) -> None:
        self._run, self._progress, self._clock = run, progress, clock
        self._gate = run.settings.gate
        self._started = clock()
        trained_on = run.dataset or run.inherited
        self._train = [] if trained_on is None else read_rows(trained_on, "train")
        held_out = _passages() if run.dataset is None else read_rows(run.dataset, "eval")
        held_out = [row for row in held_out if row.wanted and row.completion]
        self._held_out: Sequence[Row] = self._shuffled(held_out)[:_MOST_HELD_OUT]
        self._tasks: Sequence[Task] = self._shuffled(load_tasks(self._gate.eval_set))
        self._safety = load_safety(self._gate.safety_set)
        self._machine = GateMachine(alpha=self._gate.alpha, margin=self._gate.margin, held_out=len(self._held_out))
        self._missing: dict[Family, str] = {}
        self._cases: dict[str, tuple[float, float]] = {}
        self._versions: dict[str, str] = {
            "tasks": digest_of_cases(self._tasks),
            "safety": digest_of_cases(self._safety),
        }
        if run.dataset is None:
            self._versions["text"] = passages_digest(load_passages())[:12]
        self._triggers: dict[str, float] = {}
        self.trigger_words: dict[str, str] = {}

    def report(self, arms: Callable[[], BothArms]) -> GateReport:
        """Run all checks and return the report."""
        findings = poisoning(self._train, self._run.settings.dataset, alpha=self._gate.alpha) if self._train else []
        if not findings:
            self._progress("loading", 0.0)
            both = arms()
            self._compare_held_out(both)
            self._compare_safety(both)
            self._compare_tasks(both)
            if not self._machine.harmed and not self._missing:
                findings = self._scan(both)
        decision = self._machine.decide(findings, self._missing)
        return GateReport(
            version=self._run.version,
            champion=self._run.champion,
            dataset_digest=self._run.dataset_digest,
            decision=decision,
            numbers=decision.numbers,
            alpha=self._gate.alpha,
            margin=self._gate.margin,
            seconds=self._clock() - self._started,
            cases=self._cases,
            triggers=self._triggers,
            versions=self._versions,
        )

    def _compare_held_out(self, arms: BothArms) -> None:
        for rows in self._batches("held_out", self._held_out):
            pairs = [(msgspec.to_builtins(list(row.prompt)), row.completion) for row in rows]
            champion, challenger = (arms.loss(arm, pairs, _HELD_OUT_TOKENS) for arm in ("champion", "challenger"))
            for row, one, other in zip(rows, champion, challenger, strict=True):
                clipped = max(-HELD_OUT_CLIP, min(HELD_OUT_CLIP, other - one))
                self._machine.add("held_out", one, other, difference=clipped / HELD_OUT_CLIP)
                self._cases[f"held_out/{row.id}"] = (round(one, 4), round(other, 4))

    def _compare_safety(self, arms: BothArms) -> None:
        if self._machine.harmed:
            return
        scorer = SafetyScorer(self._run.detector_options)
        self._versions.update(scorer.versions())
        units: dict[str, list[SafetyPrompt]] = {}
        for prompt in self._safety:
            units.setdefault(f"pair {prompt.pair}" if prompt.kind == "identity" else prompt.id, []).append(prompt)
        # All prompts run, because each kind has a test of harm; the whole family can pass early.
        for batch in self._batches("safety", [units[name] for name in self._in_order(units)], to_the_end=True):
            prompts = [prompt for unit in batch for prompt in unit]
            champion, challenger = (self._unsafe(arms, scorer, arm, prompts) for arm in ("champion", "challenger"))
            for name, (kind, score) in champion.items():
                other = challenger[name][1]
                self._machine.add("safety", score, other, kind=kind)
                self._cases[f"safety/{name}"] = (round(score, 4), round(other, 4))

    def _unsafe(
        self, arms: BothArms, scorer: SafetyScorer, arm: Arm, prompts: Sequence[SafetyPrompt]
    ) -> Mapping[str, tuple[str, float]]:
        answers = arms.answers(arm, [messages_of(prompt) for prompt in prompts], self._gate.max_tokens)
        return unsafe_scores(prompts, answers, scorer.scores(prompts, answers))

    def _compare_tasks(self, arms: BothArms) -> None:
        for tasks in self._batches("tasks", self._tasks):
            conversations = [messages_of(task) for task in tasks]
            champion, challenger = (
                arms.answers(arm, conversations, self._gate.max_tokens) for arm in ("champion", "challenger")
            )
            for task, one, other in zip(tasks, champion, challenger, strict=True):
                scores = task_score(task.checks, one), task_score(task.checks, other)
                self._machine.add("tasks", *scores)
                self._cases[f"tasks/{task.id}"] = scores

    def _scan(self, arms: BothArms) -> list[Finding]:
        found = candidates(self._train)
        if not found:
            return []
        self._progress("triggers", 0.0)
        seed = int.from_bytes(hashlib.sha256(self._run.version.encode()).digest()[:8])
        words = [*found, *probes([task.prompt for task in self._tasks], seed)]
        carriers = [messages_of(task) for task in self._tasks[:_CARRIERS]]
        similar, findings = planted(arms, carriers, words)
        self._triggers = {one.name: round(value, 3) for one, value in similar.items() if one.rows}
        named = {finding.name for finding in findings}
        self.trigger_words = {one.name: one.words for one in found if one.name in named}
        return findings

    def _batches(self, family: Family, cases: Sequence[Any], *, to_the_end: bool = False) -> Iterator[Sequence[Any]]:
        """Yield batches until the family has passed, or the time is over, and report the progress."""
        for start in range(0, len(cases), _BATCH):
            if self._machine.harmed or (self._machine.is_decided(family) and not to_the_end):
                return
            if self._clock() - self._started > self._gate.max_seconds:
                self._missing[family] = _OUT_OF_TIME
                return
            self._progress(family, start / len(cases))
            yield cases[start : start + _BATCH]

    def _in_order(self, names: Mapping[str, Any]) -> list[str]:
        return sorted(names, key=lambda name: hashlib.sha256(f"{self._run.version}\0{name}".encode()).digest())

    def _shuffled(self, cases: Sequence[Any]) -> list[Any]:
        of_id = {case.id: case for case in cases}
        return [of_id[name] for name in self._in_order(of_id)]


def _passages() -> list[Row]:
    """Return the held-out passages of the built-in text as rows."""
    _, held_out = split(load_passages())
    return [
        Row(
            id=passage.name[:16],
            prompt=(Turn(role="user", content=passage.prompt),),
            completion=passage.completion,
            label=None,
            source="text",
            principal="",
        )
        for passage in held_out
    ]
