import uuid

from weir.local.broker import apache


def test_no_cluster_id_looks_like_a_flag(monkeypatch):
    ids = iter([uuid.UUID(bytes=b"\xf8" + bytes(15)), uuid.UUID(bytes=b"\xfb" * 16), uuid.UUID(bytes=b"\x01" * 16)])
    monkeypatch.setattr(apache.uuid, "uuid4", lambda: next(ids))
    assert apache._cluster_id() == "AQEBAQEBAQEBAQEBAQEBAQ"
