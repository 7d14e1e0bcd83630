"""A backlog in front of a stage costs no memory of it: many times the backlog, the same peak.

The slack is far below what is waiting, and far above what allocators differ by. Large figures: ``make bench PARTS=backpressure``.
"""

import pytest
from support.backlog import ledger_peak, score_peak, shipper_peak
from support.memory import MIB

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(300)]
SLACK_BYTES = 32 * MIB


async def test_score_with_a_slow_detector_reads_no_more_than_it_can_hold(apache_broker, tmp_path):
    few = await score_peak(apache_broker.bootstrap, tmp_path / "few", 300)
    many = await score_peak(apache_broker.bootstrap, tmp_path / "many", 6_000)
    assert many - few < SLACK_BYTES, "the backlog is 60 MB of text, and twice that once it is decoded"


async def test_a_ledger_that_is_far_behind_reads_in_batches(apache_broker, tmp_path):
    few = await ledger_peak(apache_broker.bootstrap, tmp_path / "few", 1_000)
    many = await ledger_peak(apache_broker.bootstrap, tmp_path / "many", 40_000)
    assert many - few < SLACK_BYTES


async def test_a_shipper_with_a_full_spool_sends_from_a_window(apache_broker, tmp_path):
    few, _ = await shipper_peak(apache_broker.bootstrap, tmp_path / "few", 2_000)
    many, size = await shipper_peak(apache_broker.bootstrap, tmp_path / "many", 16_000)
    assert size > 4 * SLACK_BYTES
    assert many - few < SLACK_BYTES
