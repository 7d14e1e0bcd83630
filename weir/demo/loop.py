"""The demo's closed loop: a version that is trained, evaluated and promoted; then a bad version that is rolled back."""

import asyncio
import itertools
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from stream.loop.training.agent import publisher_for
from stream.loop.training.job import VersionFolder
from stream.loop.training.manifest import VersionManifest, read_version
from stream.loop.training.records import model_event
from stream.loop.training.signing import ADAPTER_FILES
from stream.loop.training.version import make_version
from stream.settings import KafkaSettings
from weir.demo.prompts import NEW_TOPIC
from weir.demo.results import DemoResults
from weir.demo.traffic import Answer, Traffic
from weir.home.api_keys import create_key
from weir.operate.retraining_decisions import Decider, decide
from weir.operate.routes import start

#: Time limit from the approval to the promotion, and from the start of the bad version to its rollback.
LIMIT_SECONDS = 480.0
_PAUSE_SECONDS = 0.2
#: An answer that repeats itself needs this length to be recognised.
_MAX_TOKENS = 32
_ENDED = frozenset({"refused", "failed", "expired", "rolled_back", "rejected"})
_DELIVERED = frozenset({"shadow", "canary"})
#: Standard deviation of the noise in the second adapter matrix of the attention's values; trained values are below 0.01.
_NOISE = 10.0
_NOISY = "v_proj.lora_B."
_SEED = 0


def make_bad_version(home: Path, version: str) -> VersionManifest:
    """Make a version from the adapter of `version` with noise, so that the model repeats itself; return its manifest.

    Raises TrainingError or OSError.
    """
    import torch  # noqa: PLC0415 - takes seconds to import
    from safetensors.torch import load_file, save_file  # noqa: PLC0415

    good = read_version(home, version)
    source = VersionFolder.of(home, version)
    draw = torch.Generator().manual_seed(_SEED)
    weights = load_file(source.weights)
    noisy = {
        name: value + _NOISE * torch.randn(value.shape, generator=draw) if _NOISY in name else value
        for name, value in weights.items()
    }
    with tempfile.TemporaryDirectory(dir=home / "loop") as folder:
        for name in ADAPTER_FILES:
            shutil.copyfile(source.adapter / name, Path(folder, name))
        save_file(noisy, Path(folder, source.weights.name), metadata={"format": "pt"})
        # No request trained this version: it has no retraining id and no dataset, so `weir why` shows no gate for it.
        job = msgspec.structs.replace(good.job, parent=version, retraining_id="", dataset="", dataset_digest="")
        return make_version(job, home, Path(folder), good.numbers)


class Loop(msgspec.Struct, kw_only=True):
    """Waits for the loop's decisions about one tenant, and sends requests while a canary needs them."""

    home: Path
    kafka: KafkaSettings
    model: str
    traffic: Traffic
    results: DemoResults
    status: Callable[[str], None]

    async def run(self) -> None:
        """Approve the request, wait until its version is promoted; then start a bad version, and wait until it is rolled back.

        The corrections must be in Kafka: an approval pins the log up to its own time.
        """
        requested = self.results.requested
        if requested is None:
            return
        _, key = create_key(self.home, self.results.tenant, ("approve",))
        decider = Decider(home=self.home, key=key, command="weir demo", tenants={})
        reason = "the demo approves it after the reviews"
        await decide(self.kafka, requested.retraining_id, "approved", decider, reason)
        if not await self._until(requested.retraining_id, "promoted"):
            return
        version = self.results.states[requested.retraining_id].model_version
        self.status("making a bad version: the same adapter with noise in its weights")
        bad = await asyncio.to_thread(make_bad_version, self.home, version)
        await publisher_for(self.kafka, attempts=5)(model_event(self.home, bad))
        record = await start(
            self.home,
            self.kafka,
            bad.version,
            tenant=self.results.tenant,
            model=self.model,
            by="demo",
            reason="the demo forces a bad version past the gate",
        )
        self.results.bad_id = record.retraining_id
        await self._until(record.retraining_id, "rolled_back")

    async def _until(self, retraining_id: str, state: str) -> bool:
        """Return whether the request reaches `state` in time; send requests while it is in shadow or in a canary."""
        prompts = itertools.cycle(NEW_TOPIC)
        deadline = time.monotonic() + LIMIT_SECONDS
        while time.monotonic() < deadline:
            record = self.results.states.get(retraining_id)
            now = "waiting for the trainer" if record is None else record.state
            if now == state:
                return True
            if now in _ENDED:
                return False
            self.status(f"{now}, until: {state}")
            if now in _DELIVERED or (now == "blessed" and state == "rolled_back"):
                await self.traffic.send([next(prompts) for _ in range(2)], _ignore, max_tokens=_MAX_TOKENS)
            await asyncio.sleep(_PAUSE_SECONDS)
        return False


def _ignore(_answer: Answer) -> None:
    """Do nothing: `Traffic` stores the answer."""
