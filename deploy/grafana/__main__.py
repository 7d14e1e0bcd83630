"""Write the dashboards: ``python deploy/grafana [DIRECTORY]``; by default, to the folder that Grafana reads."""

import json
import sys
from pathlib import Path

from served import CAPTURE, COST, REQUESTS
from watched import ALERTS, DETECTORS, DRIFT


def main(arguments: list[str]) -> None:
    """Write a file for each dashboard."""
    directory = Path(arguments[0]) if arguments else Path(__file__).parent / "dashboards"
    directory.mkdir(exist_ok=True)
    for board in (REQUESTS, DETECTORS, DRIFT, ALERTS, CAPTURE, COST):
        text = json.dumps(board, indent=2) + "\n"
        (directory / f"{board['uid']}.json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
