"""Writes observability/dashboards/*.json: `python -m tools.dashboards`."""

import argparse
import sys
from pathlib import Path

from recsys_assets.settings import REPOSITORY
from tools.dashboards.dashboard import render
from tools.dashboards.models_board import MODELS
from tools.dashboards.platform_board import PLATFORM
from tools.dashboards.serving_board import SERVING

BOARDS = (SERVING, MODELS, PLATFORM)
FOLDER = REPOSITORY / "observability" / "dashboards"


def main(arguments: list[str]) -> None:
    """Parses the command line and writes the files."""
    parser = argparse.ArgumentParser(prog="python -m tools.dashboards")
    parser.description = "Write the Grafana dashboards as JSON."
    parser.add_argument("--to", type=Path, default=FOLDER, help="folder (%(default)s)")
    folder: Path = parser.parse_args(arguments).to
    folder.mkdir(parents=True, exist_ok=True)
    for board in BOARDS:
        target = folder / f"{board.name}.json"
        target.write_text(render(board))
        sys.stdout.write(f"{target}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
