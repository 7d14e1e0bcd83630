"""Weir as users install it: a wheel, without the other files of this repository."""

import os
import subprocess
import sys
import zipfile

from support.compose import ROOT


def test_the_installed_package_finds_every_file_that_it_needs(tmp_path):
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True, timeout=120)
    with zipfile.ZipFile(next(tmp_path.glob("*.whl"))) as wheel:
        wheel.extractall(tmp_path / "installed")
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PYTHONPATH": str(tmp_path / "installed")}
    program = "import weir; print(weir.__file__); from weir.cli import main; main()"
    doctor = [sys.executable, "-c", program, "doctor"]
    done = subprocess.run(
        doctor, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert str(tmp_path / "installed") in done.stdout
    assert "Kafka" in done.stdout, done.stdout + done.stderr
    assert "No such file" not in done.stdout + done.stderr
