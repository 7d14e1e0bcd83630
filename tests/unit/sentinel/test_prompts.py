"""The fixed prompts. A changed text needs a new version."""

import hashlib

from weir.sentinel.client import endpoint
from weir.sentinel.prompts import PROMPTS, VERSION

#: The digest of the prompts of each version. Add a line for a new version; never change a line.
SETS = {"1": "9dfcafc42eb7f054"}


def test_the_prompts_of_a_version_never_change():
    told = "\x1f".join(f"{prompt.name}\x1f{prompt.text}" for prompt in PROMPTS)
    assert SETS[VERSION] == hashlib.sha256(told.encode()).hexdigest()[:16]


def test_the_id_of_a_prompt_has_its_version_and_name():
    assert len({prompt.id for prompt in PROMPTS}) == len(PROMPTS)
    assert PROMPTS[0].id == f"sentinel/{VERSION}/fact"


def test_an_endpoint_that_listens_on_all_addresses_is_called_on_loopback():
    assert endpoint("0.0.0.0", 8000) == "http://127.0.0.1:8000/v1"
    assert endpoint("::", 8000) == "http://[::1]:8000/v1"
    assert endpoint("10.0.0.5", 80) == "http://10.0.0.5:80/v1"
