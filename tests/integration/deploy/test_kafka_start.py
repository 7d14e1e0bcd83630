"""deploy/kafka/start.sh and password.sh with a real Kafka: passwords are read from secrets, and no program has one as argument."""

import asyncio
import contextlib
import functools
import os
import subprocess
from pathlib import Path

import pytest
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError
from aiokafka.helpers import create_ssl_context
from support.compose import ROOT
from support.kafkascripts import write_scripts
from support.stack import free_port

pytestmark = pytest.mark.kafka

CONFIG = Path(__file__).with_name("server.properties").read_text()


def own(folder, **more):
    """Return the environment for a script of deploy/kafka."""
    places = {"KAFKA_BIN": str(folder / "bin"), "KAFKA_SECRETS": str(folder / "secrets"), "TMPDIR": str(folder / "tmp")}
    return os.environ | places | more


@contextlib.contextmanager
def started(folder, ports, text=CONFIG):
    """Run start.sh, as the container does; its temporary files are in ``tmp``."""
    config = folder / "server.properties"
    config.write_text(text.format(logs=folder / "data", **ports))
    with (folder / "log").open("ab") as log:
        command = ["sh", str(ROOT / "deploy/kafka/start.sh"), str(config)]
        process = subprocess.Popen(command, env=own(folder), stdout=log, stderr=log)
    try:
        yield process
    finally:
        process.kill()
        process.wait(30)


async def answers(port, **login):
    """Return whether Kafka accepts a client with `login`."""
    client = AIOKafkaClient(bootstrap_servers=f"127.0.0.1:{port}", **login)
    try:
        await client.bootstrap()
    except KafkaError:
        return False
    finally:
        await client.close()
    return True


async def knows(port, user, password, cafile=None):
    login = {"sasl_plain_username": user, "sasl_plain_password": password, "sasl_mechanism": "SCRAM-SHA-512"}
    if cafile is None:
        return await answers(port, security_protocol="SASL_PLAINTEXT", **login)
    return await answers(port, security_protocol="SASL_SSL", ssl_context=create_ssl_context(cafile=cafile), **login)


async def reached(what, check, process):
    deadline = asyncio.get_running_loop().time() + 90
    while not await check():
        assert process.poll() is None
        assert asyncio.get_running_loop().time() < deadline, what
        await asyncio.sleep(0.2)


def prepared(folder):
    """Write Kafka's scripts, which append their arguments to ``seen``; return free ports."""
    for name in ("bin", "secrets", "tmp"):
        (folder / name).mkdir()
    write_scripts(folder / "bin", seen=folder / "seen")
    return {name: free_port() for name in ("clients", "plain", "control")}


async def test_users_are_created_from_secrets_that_no_process_shows(apache, tmp_path):
    ports = prepared(tmp_path)
    (tmp_path / "secrets" / "kafka-user-ann").write_text("hunter2 %s\\n\n")
    (tmp_path / "secrets" / "kafka-user-bob").write_text("hunter3\n")
    clients = ports["clients"]
    with started(tmp_path, ports) as process:
        await reached("Kafka accepts ann", lambda: knows(clients, "ann", "hunter2 %s\\n"), process)
        assert await knows(clients, "bob", "hunter3")
        assert not await knows(clients, "bob", "hunter2")
    seen = (tmp_path / "seen").read_text()
    assert f"@{tmp_path / 'tmp'}" in seen
    assert "hunter" not in seen + (tmp_path / "log").read_text()
    assert list((tmp_path / "tmp").iterdir()) == []


async def test_a_changed_secret_becomes_the_password_also_of_admin_and_of_a_new_user(apache, tmp_path):
    ports, secrets = prepared(tmp_path), tmp_path / "secrets"
    made = {"WEIR_SECRETS": str(tmp_path / "made")}
    subprocess.run(["sh", ROOT / "deploy/secrets.sh"], env=os.environ | made, check=True, capture_output=True)
    for path in (tmp_path / "made").iterdir():
        (secrets / path.name.removesuffix(".pem")).write_bytes(path.read_bytes())
    (secrets / "kafka-user-operator").unlink()
    text = (ROOT / "deploy/kafka/server-secure.properties").read_text()
    for old, new in {
        "9093": "{clients}",
        "9094": "{plain}",
        "9095": "{control}",
        "/var/lib/kafka/data": "{logs}",
    }.items():
        text = text.replace(old, new)
    text = (
        text.replace("//kafka:", "//127.0.0.1:").replace("0.0.0.0", "127.0.0.1").replace("/run/secrets", str(secrets))
    )
    check = functools.partial(knows, ports["clients"], cafile=secrets / "kafka-ca")
    with started(tmp_path, ports, text) as process:
        old = (secrets / "kafka-user-admin").read_text().strip()
        await reached("Kafka accepts admin", lambda: check("admin", old), process)
        assert not await check("operator", "hunter3")
        for user, password in (("admin", "hunter2"), ("operator", "hunter3")):
            (secrets / f"kafka-user-{user}").write_text(f"{password}\n")
        command = ["sh", ROOT / "deploy/kafka/password.sh", "admin", "operator"]
        environment = own(tmp_path, KAFKA_BROKER=f"127.0.0.1:{ports['plain']}")
        run = functools.partial(
            subprocess.run, env=environment, capture_output=True, text=True, timeout=90, check=False
        )
        done = await asyncio.to_thread(run, command)
        assert done.returncode == 0, done.stdout + done.stderr
        await reached("Kafka accepts operator", lambda: check("operator", "hunter3"), process)
        await reached("admin has the new password", lambda: check("admin", "hunter2"), process)
        assert not await check("admin", old)
    assert "hunter" not in (tmp_path / "seen").read_text() + (tmp_path / "log").read_text()
    assert list((tmp_path / "tmp").iterdir()) == []


async def test_kafka_starts_without_secrets_and_a_second_start_does_not_format(apache, tmp_path):
    ports = prepared(tmp_path)
    for _ in range(2):
        with started(tmp_path, ports) as process:
            await reached("Kafka answers", lambda: answers(ports["plain"]), process)
    assert (tmp_path / "seen").read_text().count(f"@{tmp_path / 'tmp'}") == 1
