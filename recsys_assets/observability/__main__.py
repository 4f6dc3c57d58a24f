"""Writes observability/dashboards/serving.json: `python -m recsys_assets.observability`."""

import argparse
import sys
from pathlib import Path

from recsys_assets.observability.dashboard import render
from recsys_assets.settings import REPOSITORY

DASHBOARD = REPOSITORY / "observability" / "dashboards" / "serving.json"


def main(arguments: list[str]) -> None:
    """Parses the command line and writes the file."""
    parser = argparse.ArgumentParser(prog="python -m recsys_assets.observability")
    parser.description = "Write the Grafana dashboard of serving as JSON."
    parser.add_argument("--to", type=Path, default=DASHBOARD, help="file (%(default)s)")
    target: Path = parser.parse_args(arguments).to
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(render())
    sys.stdout.write(f"{target}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
