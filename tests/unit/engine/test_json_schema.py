"""The check of JSON Schemas before they reach an engine."""

import subprocess
import sys

import pytest

from serving.engine.json_schema import _length_limits, _repeated


@pytest.mark.parametrize(
    ("limited", "total"),
    [
        ([{"maxLength": 20}, {"maxLength": 20}, {"maxLength": 30}, {"maxLength": 9**999}, {"maxLength": -1}], 450),
        ([{"pattern": "^[a-z]{2}-.{1,30}$"}, {"pattern": "^[a-z]{2}-.{1,30}$"}, {"pattern": r"^x\{9}{7,}$"}], 39),
        ([{"maxLength": "20"}, {"properties": {"maxLength": {"maxLength": 5}}}, {"maxItems": 100}], 5),
    ],
)
def test_each_different_length_limit_counts_once(limited, total):
    assert _length_limits({"anyOf": limited}) == total


@pytest.mark.parametrize(
    ("pattern", "repeated"),
    [
        ("^a{0,1000}$", 0),
        ("(?:ab){2,3}", 8),
        (r"^([a-z0-9-]{1,63}\.){1,10}[a-z]{2,63}$", 638),
        ("(a{400}){12}", 4_799),
        ("(([^x]{400}){70}){70}", 1_959_999),
    ],
)
def test_a_character_with_a_count_is_repeated_with_its_group(pattern, repeated):
    assert _repeated(pattern) == repeated


def test_the_check_of_schemas_imports_neither_torch_nor_transformers():
    program = (
        "import sys\n"
        "from serving.engine.json_schema import check_schema\n"
        """check_schema('{"$ref": "#/$defs/a", "$defs": {"a": {"type": "string"}}}')\n"""
        "assert not {'torch', 'transformers', 'xgrammar'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
