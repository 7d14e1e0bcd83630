import subprocess
import sys

SCRIPT = """
import os, signal

if __name__ == "__mp_main__":  # the process that measures, while it starts
    os.kill(os.getpid(), signal.SIGINT)
else:
    from detectors.evaluate.cost import cost

    try:
        cost("repetition", {}, [("a", ())])
    except KeyboardInterrupt:
        print("interrupted")
"""


def test_an_interrupt_during_the_start_of_the_process_prints_no_traceback(tmp_path):
    (tmp_path / "script.py").write_text(SCRIPT)
    result = subprocess.run([sys.executable, "script.py"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (result.stdout, result.stderr, result.returncode) == ("interrupted\n", "", 0)
