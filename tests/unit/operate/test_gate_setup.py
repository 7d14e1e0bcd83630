"""The champion with which the gate compares a version."""

import shutil

import msgspec
import pytest

from stream.loop.delivery.route_store import write_routes
from stream.loop.training.job import TrainingJob, VersionFolder
from stream.loop.training.manifest import VersionManifest
from stream.wire import RouteRecord
from weir.errors import StackError
from weir.operate.gate_setup import gate_version
from weir.operate.routes import pin, routes
from weir.settings import Settings

OLD, NEW = "m_000000000001", "m_000000000002"


@pytest.fixture
def home(tmp_path):
    for version, base in ((OLD, "a" * 64), (NEW, "b" * 64)):
        job = TrainingJob(
            tenant="acme", model="m", base="/nowhere", base_digest=base, dataset="/nowhere", dataset_digest="d"
        )
        manifest = VersionManifest(
            version=version, job=job, adapter_digest="a", weights_digest="", numbers={}, libraries={}, files={}
        )
        folder = VersionFolder.of(tmp_path, version)
        folder.path.mkdir(parents=True)
        folder.manifest.write_bytes(msgspec.json.encode(manifest))
    write_routes(tmp_path, [RouteRecord(tenant="acme", model="m", epoch=1, at=0.0, champion=OLD)])
    return tmp_path


def refusal(home, champion):
    with pytest.raises(StackError) as refused:
        gate_version(Settings(home=home), NEW, champion, lambda *_: None)
    return str(refused.value)


def test_a_version_of_a_new_base_needs_a_champion_of_that_base(home):
    """The trainer gives no --champion, so the remedy must change the version that answers."""
    found = refusal(home, None)
    assert f"{OLD} answers now and has another base model than {NEW}" in found
    assert "`weir models promote base --tenant acme --model m --now --reason TEXT`" in found
    assert "weir retraining resume" in found
    assert "--champion" not in found
    (route,) = routes(home)
    pin(home, route, "base", by="jo", reason="new base")
    assert [one.champion for one in routes(home)] == ["base"], "the next gate compares with the base"


@pytest.mark.parametrize("file", ["manifest.json", ""])
def test_an_answering_version_without_manifest_is_named_with_the_command_that_replaces_it(home, file):
    """A user made this version without Weir and promoted it, or deleted its folder."""
    folder = VersionFolder.of(home, OLD)
    folder.manifest.unlink() if file else shutil.rmtree(folder.path)
    found = refusal(home, None)
    assert f"{OLD} answers now and has no {folder.manifest}, so they cannot be compared" in found
    assert "`weir models promote base --tenant acme --model m --now --reason TEXT`" in found


def test_a_named_champion_of_another_base_is_an_error_that_advises_another_champion(home):
    assert "name a version of the same base, or --champion base" in refusal(home, OLD)
