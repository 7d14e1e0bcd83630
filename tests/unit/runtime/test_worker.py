"""The start of a worker; the test runs the worker in a separate process."""

import subprocess
import sys

WORKER = """
import gc, os, signal, sys, threading, time
from pathlib import Path
from stream.runtime.app import create_base_app
from stream.runtime.worker import run
from stream.settings import KafkaSettings

def end():
    while signal.getsignal(signal.SIGTERM) == signal.SIG_DFL:
        time.sleep(0.01)
    os.kill(os.getpid(), signal.SIGTERM)

loaded = len(gc.get_objects())
app = create_base_app("t", KafkaSettings(bootstrap_servers="127.0.0.1:1"), data_dir=Path(sys.argv[1]))
threading.Thread(target=end, daemon=True).start()
print(run(app), gc.get_freeze_count() > loaded / 2 > 10_000)
"""


def test_the_garbage_collector_skips_objects_that_were_loaded_before_the_start(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", WORKER, str(tmp_path)], check=True, stdout=subprocess.PIPE, text=True, timeout=60
    )
    assert done.stdout.split() == ["0", "True"]
