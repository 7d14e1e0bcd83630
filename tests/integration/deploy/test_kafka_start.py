"""deploy/kafka/start.sh over a real Kafka: its users come from secrets, which no argument of a program holds; so does a new password."""

import asyncio
import contextlib
import os
import subprocess
from pathlib import Path

import pytest
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError
from support.compose import ROOT
from support.kafkascripts import write_scripts
from support.stack import free_port

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(240)]

CONFIG = Path(__file__).with_name("server.properties").read_text()


@contextlib.contextmanager
def started(folder, ports):
    """Become Kafka as the container does; its scratch files are in ``tmp``."""
    config = folder / "server.properties"
    config.write_text(CONFIG.format(logs=folder / "data", **ports))
    own = {"KAFKA_BIN": str(folder / "bin"), "KAFKA_SECRETS": str(folder / "secrets"), "TMPDIR": str(folder / "tmp")}
    with (folder / "log").open("ab") as log:
        command = ["sh", str(ROOT / "deploy/kafka/start.sh"), str(config)]
        process = subprocess.Popen(command, env=os.environ | own, stdout=log, stderr=log)
    try:
        yield process
    finally:
        process.kill()
        process.wait(30)


async def answers(port, **login):
    """Tell whether Kafka takes who comes with `login`."""
    client = AIOKafkaClient(bootstrap_servers=f"127.0.0.1:{port}", **login)
    try:
        await client.bootstrap()
    except KafkaError:
        return False
    finally:
        await client.close()
    return True


async def knows(port, user, password):
    login = {"sasl_plain_username": user, "sasl_plain_password": password}
    return await answers(port, security_protocol="SASL_PLAINTEXT", sasl_mechanism="SCRAM-SHA-512", **login)


async def reached(what, check, process):
    deadline = asyncio.get_running_loop().time() + 90
    while not await check():
        assert process.poll() is None
        assert asyncio.get_running_loop().time() < deadline, what
        await asyncio.sleep(0.2)


def prepared(folder):
    """Write Kafka's scripts, which note their arguments in ``seen``; return free ports."""
    for name in ("bin", "secrets", "tmp"):
        (folder / name).mkdir()
    write_scripts(folder / "bin", seen=folder / "seen")
    return {name: free_port() for name in ("clients", "plain", "control")}


async def test_users_are_made_of_secrets_that_no_process_shows(apache, tmp_path):
    ports = prepared(tmp_path)
    (tmp_path / "secrets" / "kafka-user-ann").write_text("hunter2 %s\\n\n")
    (tmp_path / "secrets" / "kafka-user-bob").write_text("hunter3\n")
    clients = ports["clients"]
    with started(tmp_path, ports) as process:
        await reached("ann is let in", lambda: knows(clients, "ann", "hunter2 %s\\n"), process)
        assert await knows(clients, "bob", "hunter3")
        assert not await knows(clients, "bob", "hunter2")
        changed = tmp_path / "changed"
        changed.write_text("SCRAM-SHA-512=password=hunter4\n")
        command = [tmp_path / "bin" / "kafka-configs.sh", "--bootstrap-server", f"127.0.0.1:{ports['plain']}"]
        command += ["--alter", "--add-config-file", changed, "--entity-type", "users", "--entity-name", "bob"]
        done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        await reached("bob has another password", lambda: knows(clients, "bob", "hunter4"), process)
    seen = (tmp_path / "seen").read_text()
    assert f"@{tmp_path / 'tmp'}" in seen
    assert "hunter" not in seen + (tmp_path / "log").read_text()
    assert list((tmp_path / "tmp").iterdir()) == []


async def test_without_secrets_it_starts_and_a_second_start_formats_nothing(apache, tmp_path):
    ports = prepared(tmp_path)
    for _ in range(2):
        with started(tmp_path, ports) as process:
            await reached("it answers", lambda: answers(ports["plain"]), process)
    assert (tmp_path / "seen").read_text().count(f"@{tmp_path / 'tmp'}") == 1
