"""The datasets on this machine as facts of a chain, and the versions that a subject's requests went into."""

from pathlib import Path

import msgspec

from stream.errors import DatasetDamaged
from stream.kafka.tail import Tail
from stream.loop.dataset.candidates import is_excluded
from stream.loop.dataset.files import Manifest, datasets_in, folder_of, read_manifest, read_rows
from stream.loop.dataset.rows import Row, digest_of
from stream.loop.lineage.facts import DatasetFacts, Facts
from stream.settings import KafkaSettings
from stream.wire import ModelRecord, conversation_key

_SPLITS = ("train", "eval")


class SubjectVersion(msgspec.Struct, frozen=True, kw_only=True):
    """A dataset with rows of a subject, and the version that was trained on it ("" if the log has none)."""

    version: str
    dataset: str
    tenant: str
    model: str
    rows: int


class SubjectVersions(msgspec.Struct, frozen=True, kw_only=True):
    """The versions of a subject, and the datasets that could not be searched.

    `damaged` are the errors of datasets that cannot be read, and `absent` the versions whose dataset is not on this machine.
    """

    found: list[SubjectVersion]
    damaged: list[DatasetDamaged]
    absent: list[str]


def dataset_facts(home: Path, digest: str) -> DatasetFacts | None:
    """Return the facts of a dataset with its digest computed again, or None if it is not on this machine; raises DatasetDamaged."""
    folder = folder_of(home, digest)
    if folder not in datasets_in(home):
        return None
    train, held_out = (read_rows(folder, split) for split in _SPLITS)
    manifest = read_manifest(folder)
    return DatasetFacts(
        digest=digest_of(train, held_out),
        retraining_id=manifest.retraining_id,
        ranges=manifest.ranges,
        request_ids=frozenset(row.id.partition("#")[0] for row in (*train, *held_out)),
        has_old_rows=any(row.source == "replay" for row in train),
    )


async def versions_of_subject(kafka: KafkaSettings, home: Path, subject: str, tenant: str) -> SubjectVersions:
    """Return the datasets on this machine with rows of `subject`, with their versions.

    The subject is a request id, a conversation id, or the id of the API key that sent the request or reviewed it. Without
    `tenant`, a conversation is searched in each tenant. Raises BrokerError.
    """
    versions = await _versions(kafka, tenant)
    found: list[SubjectVersion] = []
    damaged: list[DatasetDamaged] = []
    folders = datasets_in(home)
    for folder in folders:
        try:
            manifest = read_manifest(folder)
            if tenant and manifest.tenant != tenant:
                continue
            names = {subject, conversation_key(manifest.tenant, subject)}
            rows = sum(_is_of(row, names, manifest) for split in _SPLITS for row in read_rows(folder, split))
        except DatasetDamaged as error:
            damaged.append(error)
        else:
            found += [_found(version, manifest, rows) for version in versions.get(manifest.digest, [""]) if rows]
    here = {folder.name for folder in folders}
    absent = sorted(version for digest, names in versions.items() if digest not in here for version in names)
    return SubjectVersions(found=found, damaged=damaged, absent=absent)


def _is_of(row: Row, names: set[str], manifest: Manifest) -> bool:
    request_id = row.id.partition("#")[0]
    keys = (row.principal, manifest.authors.get(request_id, ""), *manifest.reviewers.get(request_id, ()))
    return not names.isdisjoint((request_id, row.conversation)) or any(is_excluded(key, names) for key in keys)


def _found(version: str, manifest: Manifest, rows: int) -> SubjectVersion:
    return SubjectVersion(
        version=version, dataset=manifest.digest, tenant=manifest.tenant, model=manifest.model, rows=rows
    )


async def _versions(kafka: KafkaSettings, tenant: str) -> dict[str, list[str]]:
    """Return {digest of a dataset: versions trained on it, and versions that were made smaller from these}, without removed versions."""
    facts = Facts()
    async for _, event in Tail(kafka.client_options(), kafka.names.models, follow=False).events():
        if isinstance(event.data, ModelRecord):
            facts.models[event.data.version] = event.data
    found: dict[str, list[str]] = {}
    for version, model in facts.models.items():
        if model.removed or tenant not in {"", model.tenant}:
            continue
        if digest := facts.models[facts.line(version)[-1]].dataset_digest:
            found.setdefault(digest, []).append(version)
    return found
