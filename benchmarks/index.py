"""Vector indexes by size of the catalogue: `python -m benchmarks.index`.

For each size and kind: build time, memory, recall at 100 against exact search, and latency of
single searches on one thread, with several efforts. Up to the catalogue's size the vectors are
its own, above it synthetic ones are added (`synthetic_vectors`); queries are of real households.
Figures are taken in the models environment, which serves. What `bench/index.json` holds already
is not measured again: delete the file to start anew.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from recsys_assets.defs.plots import Point, as_table, recall_over_latency
from recsys_assets.models.index.index_kinds import KINDS
from recsys_assets.settings import Settings, load_settings

_TARGET = 0.98
_SIZES = (92_331, 1_000_000, 10_000_000)


def points_of(result: Mapping[str, Any]) -> list[Point]:
    """One for each effort that an index was searched with; none if it was not measured."""
    return [
        Point(
            result["name"],
            search["effort"],
            search["recall_at_100"],
            search["p50_ms"],
            search["p99_ms"],
            search["cpu_p50_ms"],
            search["cpu_p99_ms"],
            result["bytes"],
            result["build_seconds"],
        )
        for search in result.get("searches", ())
    ]


def panels(results: Sequence[Mapping[str, Any]]) -> list[tuple[str, list[Point]]]:
    """Points by size, the smallest first, under a title that says what is synthetic."""
    found = []
    for size in sorted({result["size"] for result in results}):
        mine = [result for result in results if result["size"] == size]
        synthetic = mine[0]["synthetic"]
        title = f"{size:,} vectors, {f'{synthetic:,} synthetic' if synthetic else 'the catalogue'}"
        found.append((title, [point for result in mine for point in points_of(result)]))
    return [(title, points) for title, points in found if points]


def as_markdown(found: Mapping[str, Any]) -> str:
    """Machine, settings, a table for each size, and what was not measured."""
    results = list(found["results"].values())
    lines = [
        ", ".join(f"{name} {value}" for name, value in found["machine"].items()),
        ", ".join(f"{name} {value}" for name, value in found["settings"].items()),
    ]
    for title, points in panels(results):
        lines += ["", f"### {title}", "", as_table(points)]
    missing = [result for result in results if "not_measured" in result]
    lines += ["", *(f"{r['size']:,} {r['name']}: {r['not_measured']}" for r in missing)]
    return "\n".join(lines).rstrip() + "\n"


def _measure(settings: Settings, arguments: argparse.Namespace) -> None:
    command = [
        str(settings.models_python),
        "-m",
        "benchmarks.index_run",
        "--build-minutes",
        str(arguments.build_minutes),
        "--sizes",
        *map(str, arguments.sizes),
        "--kinds",
        *arguments.kinds,
    ]
    subprocess.run(command, check=True)


def write_report(folder: Path) -> str:
    """Writes `index.png` and `index.md` beside `index.json`; returns the Markdown.

    Raises:
        FileNotFoundError: nothing has been measured.
    """
    found = json.loads((folder / "index.json").read_text(encoding="utf-8"))
    text = as_markdown(found)
    (folder / "index.md").write_text(text, encoding="utf-8")
    drawn = panels(list(found["results"].values()))
    (folder / "index.png").write_bytes(recall_over_latency(drawn, _TARGET))
    return text


def main() -> None:
    """Measures what is missing, then writes figures, picture and table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=_SIZES, help="vectors")
    parser.add_argument("--kinds", choices=KINDS, nargs="+", default=KINDS)
    parser.add_argument(
        "--build-minutes", type=float, default=60, help="a longer build is given up and said so"
    )
    arguments = parser.parse_args()
    settings = load_settings()
    _measure(settings, arguments)
    sys.stdout.write(write_report(settings.home / "bench"))


if __name__ == "__main__":
    main()
