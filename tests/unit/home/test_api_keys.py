import base64
import hashlib
import json
import stat
from concurrent.futures import ThreadPoolExecutor

import pytest
from support.executed_lines import executed_lines

from serving.api_keys import KeyRing, keys_path
from serving.authentication import authenticate
from serving.openai_api.errors import ApiError
from stream.wire import OWN_TENANT
from weir.errors import SettingsError, StackError
from weir.home.api_keys import (
    create_key,
    ensure_first_key,
    ensure_own_key,
    first_key_path,
    list_keys,
    own_key_path,
    revoke_key,
)


def test_the_file_contains_the_hash_and_never_the_key(tmp_path):
    record, secret = create_key(tmp_path, "support")
    text = keys_path(tmp_path).read_text()
    assert secret not in text
    (entry,) = json.loads(text)["keys"]
    digest = hashlib.sha256(secret.encode()).hexdigest()
    own = {
        "id": record.id,
        "tenant": "support",
        "created": record.created,
        "revoked": None,
        "scopes": ["infer", "feedback"],
    }
    assert entry == own | {"sha256": digest}
    assert stat.S_IMODE(keys_path(tmp_path).stat().st_mode) == 0o600


def test_the_gateway_reads_the_written_keys(tmp_path):
    record, secret = create_key(tmp_path, "support")
    principal = KeyRing(keys_path(tmp_path)).identify(f"Bearer {secret}")
    assert (principal.id, principal.tenant) == (record.id, "support")
    revoke_key(tmp_path, record.id)
    assert KeyRing(keys_path(tmp_path)).identify(f"Bearer {secret}") is None


@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer ", "{}", "Basic {}", "Bearer x{}", "Bearer {}x"])
def test_only_the_key_in_a_bearer_header_is_valid(tmp_path, header):
    record, secret = create_key(tmp_path, "support")
    keys = KeyRing(keys_path(tmp_path))
    assert keys.identify(f"bearer  {secret} ").id == record.id
    assert keys.identify(header and header.format(secret)) is None


@pytest.mark.parametrize("allow_basic", [False, True])
def test_a_rejected_request_states_whether_its_key_is_missing_and_how_to_send_it(tmp_path, allow_basic):
    _, secret = create_key(tmp_path, "support")
    keys = KeyRing(keys_path(tmp_path))
    basic = {"authorization": f"Basic {base64.b64encode(f'weir:{secret}'.encode()).decode()}"}
    if allow_basic:
        assert authenticate(keys, basic, allow_basic=True).tenant == "support"
    cases = [({}, "missing"), ({"authorization": "Basic !"}, "not valid"), *[(basic, "not valid")] * (not allow_basic)]
    for headers, problem in cases:
        with pytest.raises(ApiError, match=f"The API key is {problem}; ") as rejected:
            authenticate(keys, headers, allow_basic=allow_basic)
        assert ("as the password of the address" in str(rejected.value)) is allow_basic


def test_a_new_key_is_valid_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr("serving.api_keys._CHECK_SECONDS", 1e9)
    keys = KeyRing(keys_path(tmp_path))
    for tenant in ("a", "b"):
        _, secret = create_key(tmp_path, tenant)
        assert keys.identify(f"Bearer {secret}").tenant == tenant
    assert keys.identify("Bearer unknown") is None


def test_the_work_for_a_request_does_not_grow_with_the_number_of_keys(tmp_path, monkeypatch):
    monkeypatch.setattr("serving.api_keys._CHECK_SECONDS", 1e9)
    work = []
    for number in (1, 500):
        home = tmp_path / str(number)
        _, secret = create_key(home, "support")
        others = [
            {"id": f"k_{other}", "tenant": "other", "sha256": hashlib.sha256(b"%d" % other).hexdigest()}
            for other in range(number - 1)
        ]
        written = json.loads(keys_path(home).read_text())
        keys_path(home).write_text(json.dumps({"keys": others + written["keys"]}))
        keys = KeyRing(keys_path(home))
        assert keys.identify(f"Bearer {secret}").tenant == "support"
        work.append(executed_lines(lambda keys=keys, secret=secret: keys.identify(f"Bearer {secret}")))
    assert work[0] == work[1]


@pytest.mark.parametrize("damage", [lambda path: path.write_text("{"), lambda path: path.symlink_to(path.name)])
def test_known_keys_stay_valid_while_the_file_cannot_be_read(tmp_path, monkeypatch, damage, caplog):
    """The second damage, a loop of links, is an error of stat(), such as that of a network file system."""
    monkeypatch.setattr("serving.api_keys._CHECK_SECONDS", 0.0)
    record, secret = create_key(tmp_path, "support")
    keys = KeyRing(keys_path(tmp_path))
    assert keys.identify(f"Bearer {secret}").id == record.id
    keys_path(tmp_path).unlink()
    damage(keys_path(tmp_path))
    for _ in range(3):
        assert keys.identify(f"Bearer {secret}").id == record.id
    assert len(caplog.records) == 1, "a request does not log a known fault again"
    keys_path(tmp_path).unlink()
    assert keys.identify(f"Bearer {secret}") is None


def test_a_key_of_a_file_without_scopes_may_infer_and_send_feedback(tmp_path):
    _, secret = create_key(tmp_path, "support", ("review", "approve"))
    assert KeyRing(keys_path(tmp_path)).identify(f"Bearer {secret}").scopes == ("review", "approve")
    document = json.loads(keys_path(tmp_path).read_text())
    del document["keys"][0]["scopes"]
    keys_path(tmp_path).write_text(json.dumps(document))
    assert KeyRing(keys_path(tmp_path)).identify(f"Bearer {secret}").scopes == ("infer", "feedback")


def test_the_first_key_is_created_once_and_only_its_owner_can_read_it(tmp_path):
    assert ensure_first_key(tmp_path)
    secret = first_key_path(tmp_path).read_text().strip()
    assert not ensure_first_key(tmp_path)
    assert first_key_path(tmp_path).read_text().strip() == secret
    assert stat.S_IMODE(first_key_path(tmp_path).stat().st_mode) == 0o600
    assert KeyRing(keys_path(tmp_path)).identify(f"Bearer {secret}").tenant == "default"
    for lost in (first_key_path, keys_path):
        lost(tmp_path).unlink()
        assert ensure_first_key(tmp_path), "without one of its two files, no user has the first key"


def test_a_second_revocation_keeps_the_time_of_the_first(tmp_path):
    record, _ = create_key(tmp_path, "a")
    create_key(tmp_path, "b")
    first = revoke_key(tmp_path, record.id)
    assert revoke_key(tmp_path, record.id) == first
    assert [key.revoked is None for key in list_keys(tmp_path)] == [False, True]


@pytest.mark.parametrize("tenant", ["", "a b", "../x", "x" * 65, "-x", "tenant\n"])
def test_a_tenants_name_is_checked(tmp_path, tenant):
    with pytest.raises(SettingsError, match="use 1 to 64 letters"):
        create_key(tmp_path, tenant)


@pytest.mark.parametrize("content", [b"{", b'{"keys": [{"id": "\xff"}]}'])
def test_a_damaged_file_is_not_overwritten(tmp_path, content):
    keys_path(tmp_path).write_bytes(content)
    with pytest.raises(StackError, match="damaged"):
        create_key(tmp_path, "a")
    assert keys_path(tmp_path).read_bytes() == content


def test_keys_created_concurrently_are_all_kept(tmp_path):
    with ThreadPoolExecutor(8) as pool:
        made = {record.id for record, _ in pool.map(lambda _: create_key(tmp_path, "a"), range(24))}
    assert {key.id for key in list_keys(tmp_path)} == made


def test_weirs_own_key_is_kept_and_replaced_after_it_was_revoked(tmp_path):
    secret = ensure_own_key(tmp_path)
    assert ensure_own_key(tmp_path) == secret
    (record,) = list_keys(tmp_path)
    assert record.tenant == OWN_TENANT
    assert stat.S_IMODE(own_key_path(tmp_path).stat().st_mode) == 0o600
    revoke_key(tmp_path, record.id)
    assert ensure_own_key(tmp_path) != secret
    _, of_user = create_key(tmp_path, "support")
    own_key_path(tmp_path).write_text(of_user)
    own = KeyRing(keys_path(tmp_path)).identify(f"Bearer {ensure_own_key(tmp_path)}")
    assert own.tenant == OWN_TENANT, "the copied key of a user is replaced"


def test_no_key_can_be_created_for_weirs_own_tenant(tmp_path):
    with pytest.raises(SettingsError, match="'_weir' is not a valid name"):
        create_key(tmp_path, OWN_TENANT)
