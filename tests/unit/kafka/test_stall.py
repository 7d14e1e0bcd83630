from stream.kafka.stall import StallDetector


def test_time_without_work_does_not_count():
    stall = StallDetector(10)
    assert not stall.observe(now=0, progress=1, work=True)
    assert not stall.observe(now=9, progress=1, work=True)
    assert not stall.observe(now=11, progress=1, work=False)
    assert not stall.observe(now=20, progress=1, work=True)
    assert stall.observe(now=21, progress=1, work=True)
