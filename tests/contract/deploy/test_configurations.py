"""Configuration files, checked by the programs that read them. `make test-stack` checks those of Kafka, the Collector and Jaeger."""

import re
import subprocess
from urllib.parse import urlsplit

import pytest
import yaml
from support.compose import ROOT, model
from support.programs import amtool, promtool


@pytest.mark.parametrize(("tool", "arguments"), [(promtool, ["check", "config"]), (amtool, ["check-config"])])
def test_the_real_program_accepts_the_file(tool, arguments):
    path = "prometheus/prometheus.yml" if tool is promtool else "alertmanager/alertmanager.yml"
    done = run(tool, *arguments, ROOT / "deploy" / path)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_data_sources_of_grafana_are_services_of_the_compose_file():
    services = model(profiles=("*",))["services"]
    for path in sorted((ROOT / "deploy/grafana/provisioning/datasources").glob("*.y*ml")):
        urls = [source["url"] for source in yaml.safe_load(path.read_text())["datasources"]]
        assert urls
        assert {urlsplit(url).hostname for url in urls} <= set(services)
    (mount,) = [one for one in services["grafana"]["volumes"] if one["type"] == "bind"]
    (provider,) = yaml.safe_load((ROOT / "deploy/grafana/provisioning/dashboards/weir.yaml").read_text())["providers"]
    assert provider["options"]["path"] == f"{mount['target']}/dashboards"


def test_prometheus_finds_each_worker_of_a_service_that_can_be_scaled():
    """Behind one static address, the counters of several workers would be one series."""
    jobs = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yml").read_text())["scrape_configs"]
    addresses = {target for job in jobs for one in job.get("static_configs", ()) for target in one["targets"]}
    resolved = {name for job in jobs for one in job.get("dns_sd_configs", ()) for name in one["names"]}
    scaled = set(re.findall(r"--scale (\w+)=", (ROOT / "docs/containers.md").read_text()))
    assert scaled
    assert scaled <= resolved - {address.split(":")[0] for address in addresses}


def test_weir_process_down_watches_every_process_but_those_that_would_report_it():
    jobs = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yml").read_text())["scrape_configs"]
    assert {job["job_name"] for job in jobs if not job["job_name"].startswith("weir")} == {"prometheus", "alertmanager"}


def run(tool, *arguments):
    return subprocess.run([tool(), *arguments], capture_output=True, text=True, timeout=60, check=False)
