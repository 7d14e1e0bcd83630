"""Follow docs/add-a-detector.md literally in a copy of the detectors."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs/add-a-detector.md").read_text()
FILES = dict(re.findall(r"^`(detectors/\w+/\w+\.py)`:\n\n```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL))
DIFFS = re.findall(r"^( *)```diff\n(.*?)^ *```$", PAGE, re.MULTILINE | re.DOTALL)
TOML = '[tenants."acme"]\nbucket_seconds = 5\n[tenants."acme".error_rate]\nreference_events = 100\nalarm_every_events = 1000\n'


def patched(source, diff):
    """Return `source` with a diff applied: each added line is inserted after, or replaces, the line before it in the diff."""
    before, kept = "", True
    for line in diff.splitlines():
        mark, text = line[0], line[1:]
        if mark == "+":
            assert source.count(f"{before}\n") == 1, before
            source = source.replace(f"{before}\n", f"{before}\n{text}\n" if kept else f"{text}\n")
        before, kept = text, mark != "-"
    return source


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """Copy the detectors, register the two detectors of the page, and return the folder of the copy."""
    folder = tmp_path_factory.mktemp("copy") / "detectors"
    shutil.copytree(ROOT / "detectors", folder, ignore=shutil.ignore_patterns("weights", "__pycache__"))
    (folder / "weights").symlink_to(ROOT / "detectors/weights")
    for name, source in FILES.items():
        (folder.parent / name).write_text(source)
    registry = folder / "registry.py"
    source = registry.read_text()
    for indent, diff in DIFFS:
        source = patched(source, re.sub(rf"^{indent}", "", diff, flags=re.MULTILINE))
    registry.write_text(source)
    return folder.parent


def run(copy, *command, **options):
    environment = {name: value for name, value in os.environ.items() if not name.startswith("WEIR_")}
    environment |= {"PYTHONPATH": f"{copy}{os.pathsep}{ROOT / 'tests'}"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=110, check=False, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def found(copy, tmp_path_factory):
    home = tmp_path_factory.mktemp("home")
    (home / "weir.toml").write_text(TOML)
    run(copy, sys.executable, "-m", "support.added_detector", str(home), cwd=home)
    return json.loads((home / "found.json").read_text())


def test_the_page_has_two_detectors_and_two_changes_of_the_registry():
    assert list(FILES) == ["detectors/text/shouting.py", "detectors/streams/error_rate.py"]
    assert len(DIFFS) == 2


def test_its_findings_become_alerts_with_summary_and_runbook_line(found, copy):
    assert found["detectors"] == str(copy / "detectors")
    text, stream = found["alerts"]["shouting"], found["alerts"]["error_rate"]
    assert text["summary"].startswith("Shouting in prompts to m: 1 finding, highest score 1.00.")
    assert "caps lock" in text["runbook"]
    assert stream["summary"].startswith("Answer error rate on m: error rose to 1 (reference 0.05")
    assert "model server" in stream["runbook"]


def test_it_has_options_by_tenant(found):
    assert found["reference_events"] == 100


def test_the_console_lists_it_with_its_capabilities(found):
    assert found["console"]["shouting"] == {"alerts": True, "explains": False, "sides": ["input", "output"]}
    assert found["console"]["error_rate"] == {"alerts": True, "explains": False, "sides": ["output"]}


def test_replay_accepts_it(found, copy):
    assert found["replay"] == {"shouting": "1", "error_rate": "1"}
    helped = run(copy, str(Path(sys.executable).parent / "weir"), "replay", "--help")
    assert "shouting" in helped
    assert "error_rate" in helped


def test_weir_score_runs_it(copy, tmp_path):
    command = str(Path(sys.executable).parent / "weir")
    line = run(copy, command, "score", "--detector", "shouting", input="WHY IS THIS STILL BROKEN\n", cwd=tmp_path)
    (verdict,) = json.loads(line)["verdicts"]
    assert (verdict["flagged"], verdict["label"], verdict["version"]) == (True, "shouting", "1")


def test_it_passes_the_contract_tests(copy):
    tests = [str(ROOT / "tests/contract/detectors" / f"test_{kind}_contract.py") for kind in ("text", "stream")]
    command = str(Path(sys.executable).parent / "pytest")
    run(copy, command, "-q", "-p", "no:cacheprovider", *tests, "-k", "shouting or error_rate", cwd=ROOT)
