"""Tables of test cases: the JSON file beside ``test_NAME.py`` is ``NAME.json``."""

import json
from pathlib import Path
from typing import Any


def cases(test_file: str) -> dict[str, Any]:
    path = Path(test_file)
    return json.loads(path.with_name(f"{path.stem.removeprefix('test_')}.json").read_text())
