"""Servers whose certificate no public CA signed."""

import pytest
from prometheus_client import CollectorRegistry
from support.certificates import own_certificate
from support.scripted_upstream import WHOLE, Answer, scripted_upstream

from serving.backend import ModelRequest
from serving.settings import ModelSettings
from serving.upstream.metrics import UpstreamMetrics
from serving.upstream.upstream_backend import UpstreamBackend
from stream.errors import CertificatesUnreadable


@pytest.fixture
async def ask(tmp_path):
    certificate, context = own_certificate(tmp_path)
    async with scripted_upstream(context) as upstream:
        upstream.script = [Answer.json(WHOLE)]

        async def asked():
            settings = ModelSettings(engine="upstream", base_url=upstream.url)
            backend = UpstreamBackend("m", settings, UpstreamMetrics(CollectorRegistry()))
            request = ModelRequest(request_id="1", operation="chat", body={"messages": []})
            (item,) = [item async for item in backend.generate(request)]
            await backend.close()
            return item, upstream.connections

        yield asked, certificate


async def test_a_certificate_that_weir_cannot_verify_is_reported_with_the_fix_and_without_a_retry(
    ask, monkeypatch, caplog
):
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    rejected, _ = await ask[0]()
    assert (rejected.code, rejected.status) == ("upstream_unreachable", 502)
    assert "cannot verify the upstream server's certificate" in rejected.message
    (record,) = [record for record in caplog.records if record.name.startswith("serving.upstream")]
    assert record.getMessage().startswith("model m: ")
    assert "SSL_CERT_FILE" in record.getMessage()


async def test_the_certificates_of_the_environment_are_trusted_also_on_this_machine(ask, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(ask[1]))
    assert await ask[0]() == (WHOLE, 1)


@pytest.mark.parametrize("content", [None, "no certificate"])
async def test_a_variable_that_names_no_certificates_is_an_error_with_the_path_and_the_fix(
    tmp_path, monkeypatch, content
):
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_text(content)
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    settings = ModelSettings(engine="upstream", base_url="https://models.example/v1")
    with pytest.raises(CertificatesUnreadable) as raised:
        UpstreamBackend("m", settings, UpstreamMetrics(CollectorRegistry()))
    for part in ("SSL_CERT_FILE", str(path), "correct the path, or unset"):
        assert part in str(raised.value)
