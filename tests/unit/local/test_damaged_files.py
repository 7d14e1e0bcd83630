"""Files of a stack that a fault of the disk has changed, with text that is not UTF-8."""

import pytest

from serving.capture.shipper import read_shipper_status
from serving.engine.model_files import MANIFEST, read_manifest
from serving.metrics_targets import list_targets
from weir.errors import StackError
from weir.local.plan import load_plan, plan_path
from weir.local.stack_state import _components_path, _supervisor_path, load_components, load_supervisor


def test_a_plan_that_is_not_utf_8_is_an_error_with_a_remedy(tmp_path):
    plan_path(tmp_path).parent.mkdir()
    plan_path(tmp_path).write_bytes(b'{"home": "\xff"}')
    with pytest.raises(StackError, match=r"plan\.json is damaged \(.*\); run `weir down`, then `weir up`"):
        load_plan(tmp_path)


def test_the_state_of_a_stack_that_is_not_utf_8_is_no_state(tmp_path):
    _components_path(tmp_path).parent.mkdir()
    _components_path(tmp_path).write_bytes(b'[{"name": "\xff"}]')
    _supervisor_path(tmp_path).write_bytes(b'{"socket": "\xff"}')
    assert load_components(tmp_path) == []
    assert load_supervisor(tmp_path) is None


@pytest.mark.parametrize(
    ("name", "content", "read", "expected"),
    [
        ("shipper.json", b'{"reason": "\xff"}', read_shipper_status, None),
        (MANIFEST, b'{"name": "\xff"}', read_manifest, None),
        ("a.json", b'{"name": "\xff"}', list_targets, []),
    ],
)
def test_a_status_that_is_not_utf_8_is_no_status(tmp_path, name, content, read, expected):
    (tmp_path / name).write_bytes(content)
    assert read(tmp_path) == expected
