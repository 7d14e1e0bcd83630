"""The backlog of a stage does not increase its memory: the peak is the same with many times the backlog.

The permitted difference is far below the size of the backlog, and far above the variation of an allocator.
``make bench PARTS=backpressure`` measures larger backlogs.
"""

import pytest
from support.backlog import ledger_peak, score_peak, shipper_peak
from support.memory import MIB

pytestmark = pytest.mark.kafka
SLACK_BYTES = 32 * MIB


async def test_score_with_a_slow_detector_does_not_read_the_whole_backlog(apache_broker, tmp_path):
    few = await score_peak(apache_broker.bootstrap, tmp_path / "few", 300)
    many = await score_peak(apache_broker.bootstrap, tmp_path / "many", 6_000)
    assert many - few < SLACK_BYTES, "the backlog is 60 MB of text, or 120 MB after decoding"


async def test_a_ledger_that_is_far_behind_reads_in_batches(apache_broker, tmp_path):
    few = await ledger_peak(apache_broker.bootstrap, tmp_path / "few", 1_000)
    many = await ledger_peak(apache_broker.bootstrap, tmp_path / "many", 40_000)
    assert many - few < SLACK_BYTES


async def test_a_shipper_with_a_full_spool_sends_from_a_window(apache_broker, tmp_path):
    few, _ = await shipper_peak(apache_broker.bootstrap, tmp_path / "few", 2_000)
    many, size = await shipper_peak(apache_broker.bootstrap, tmp_path / "many", 16_000)
    assert size > 4 * SLACK_BYTES
    assert many - few < SLACK_BYTES
