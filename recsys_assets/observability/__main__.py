"""Writes observability/dashboards/*.json: `python -m recsys_assets.observability`."""

import argparse
import sys
from pathlib import Path

from recsys_assets.observability.dashboard import render
from recsys_assets.observability.models_board import MODELS
from recsys_assets.observability.platform_board import PLATFORM
from recsys_assets.observability.serving_board import SERVING
from recsys_assets.settings import REPOSITORY

BOARDS = (SERVING, MODELS, PLATFORM)
FOLDER = REPOSITORY / "observability" / "dashboards"


def main(arguments: list[str]) -> None:
    """Parses the command line and writes the files."""
    parser = argparse.ArgumentParser(prog="python -m recsys_assets.observability")
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
