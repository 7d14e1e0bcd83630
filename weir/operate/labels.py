"""Import delayed labels of answers from a file to the topic weir.feedback.

Each line of the file is a label: JSON lines with the fields of ``POST /v1/labels``, or CSV with these fields as columns.
Delivery is at least once: the id of a label depends on its content, so a repeated import changes nothing.
"""

import asyncio
import csv
import math
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any, TextIO

import msgspec
from aiokafka import AIOKafkaProducer

from serving.capture.event_encoding import Stamp, judgment
from serving.openai_api.errors import ApiError
from serving.openai_api.labels import Label
from serving.openai_api.request_model import parse
from stream.kafka.clients import needs_kafka, producer_for
from stream.ledger.queries.ledger_reader import LedgerReader
from stream.settings import KafkaSettings
from stream.wire import canonical_time, partition_for
from weir.errors import SettingsError
from weir.home.api_keys import check_tenant, list_keys

_SOURCE = "weir/labels"
_NUMBERS = ("value", "at")
_TRUTH = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
#: Labels that are in flight at the same time, and labels between two reports of the progress.
_WINDOW = 500


def check_tenant_known(home: Path, tenant: str) -> None:
    """Raise SettingsError if `tenant` has neither a request in the ledger of `home` nor an API key; without requests, check nothing."""
    served = LedgerReader(home / "ledger").tenants()
    known = sorted({*served, *(key.tenant for key in list_keys(home))})
    if served and tenant not in known:
        raise SettingsError(
            f"tenant {tenant!r} has no request and no API key in {home}, so its labels would belong to no answer; use one of: {', '.join(known)}"
        )


def read_labels(path: Path) -> Iterator[Label]:
    """Yield the labels of a file; its name ends in ``.csv`` for CSV, else it has JSON lines.

    Raises SettingsError, which names the line, for a file or a line that cannot be read.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:  # spreadsheets write a byte order mark
            for number, raw in _csv_lines(file) if path.suffix.lower() == ".csv" else _json_lines(file):
                try:
                    yield parse(Label, raw)
                except ApiError as error:
                    raise SettingsError(f"{path}, line {number}: {_of_line(error.message)}") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = error.strerror if isinstance(error, OSError) else type(error).__name__
        raise SettingsError(
            f"{path} cannot be read ({reason}); correct its mode, or save it as JSON lines or CSV in UTF-8"
        ) from None


def _of_line(message: str) -> str:
    """Return a message about the body of a request as one about a line of a file."""
    said = message.removeprefix("The body: ").replace("The body is", "it is", 1)
    return said.replace(" at line 1 column ", " at column ", 1)


def _json_lines(file: TextIO) -> Iterator[tuple[int, bytes]]:
    for number, line in enumerate(file, 1):
        if line.strip():
            yield number, line.rstrip().encode()


def _csv_lines(file: TextIO) -> Iterator[tuple[int, bytes]]:
    """Yield (line number, row as JSON); empty cells are left out."""
    reader = csv.DictReader(file)
    for row in reader:
        cells = {name: text.strip() for name, text in row.items() if name is not None and text and text.strip()}
        if row.get(None):
            raise SettingsError(f"{file.name}, line {reader.line_num}: more columns than the header; quote the cells")
        yield reader.line_num, msgspec.json.encode({name: _cell(name, text) for name, text in cells.items()})


def _cell(name: str, text: str) -> Any:
    """Return a cell with the type of its column; other text stays text, so that the parser's error names it."""
    if name == "correct":
        return _TRUTH.get(text.lower(), text)
    if name in _NUMBERS:
        try:
            number = float(text)
        except ValueError:
            return text
        return number if math.isfinite(number) else text  # JSON has no infinity, and would have null
    return text


async def import_labels(
    kafka: KafkaSettings, path: Path, *, tenant: str, by: str, progress: Callable[[int, int], None]
) -> int:
    """Publish all labels of a file for `tenant`; return their number. Check the whole file before the first is sent.

    `progress` is called with the numbers of acknowledged and of all labels. Raises SettingsError, or BrokerError; after a
    BrokerError a part was sent, and a repeated import sends all again.
    """
    check_tenant(tenant)
    total, now = await asyncio.to_thread(_checked, path)
    sent = 0
    with needs_kafka(kafka.bootstrap_servers):
        async with producer_for(kafka.client_options()) as producer:
            async for count in _publish(producer, kafka, path, tenant=tenant, by=by, now=now):
                sent += count
                progress(sent, total)
    return sent


def _checked(path: Path) -> tuple[int, float]:
    """Return the number of labels and the time of the file.

    Labels without a time get this time, so that a repeated import changes nothing.
    """
    if not path.is_file():  # the second read of a pipe has no labels, or waits for ever
        raise SettingsError(f"{path} is no regular file, and is read twice; write the labels to a file first")
    total = sum(1 for _ in read_labels(path))
    if not total:
        raise SettingsError(
            f"{path} contains no label; write one JSON object per line, or in a .csv file a header and one row per label"
        )
    return total, canonical_time(path.stat().st_mtime)


async def _publish(  # noqa: PLR0913 - what a label's record needs
    producer: AIOKafkaProducer, kafka: KafkaSettings, path: Path, *, tenant: str, by: str, now: float
) -> AsyncIterator[int]:
    """Send the labels in windows; yield the number of labels of each acknowledged window."""
    waiting: list[asyncio.Future[Any]] = []
    for label in read_labels(path):
        data, stamp = label.record(tenant=tenant, principal=by, now=now), Stamp(_SOURCE, time.time_ns() // 1000)
        record = judgment(data, stamp, identity="", conversation_id=label.conversation_id or "")
        partition = partition_for(record.key or b"", kafka.partitions)
        waiting.append(
            await producer.send(
                kafka.names.feedback, record.value, record.key, partition=partition, headers=list(record.headers)
            )
        )
        if len(waiting) == _WINDOW:
            await asyncio.gather(*waiting)
            yield len(waiting)
            waiting.clear()
    await asyncio.gather(*waiting)
    yield len(waiting)
