import time


def poll(check, seconds):
    """Wait until `check` is true; fail at the deadline."""
    deadline = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < deadline
        time.sleep(0.1)
