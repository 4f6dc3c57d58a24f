"""Latency and throughput of the served recommender under open-loop load, beside its peers."""

import argparse
from collections.abc import Sequence
from dataclasses import replace

from rich.console import Console
from rich.table import Table

from benchmarks.serving import report
from benchmarks.serving.extent import QUICK, Extent
from benchmarks.serving.progress import say
from benchmarks.serving.requests import population_of
from benchmarks.serving.run import LAYOUTS, ServingBenchmark, write_files
from recsys_assets.settings import load_settings


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures, prints the table, and writes the report."""
    parser = argparse.ArgumentParser(prog="bench_serving", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="seconds instead of minutes, for CI")
    parser.add_argument("--layouts", nargs="+", choices=LAYOUTS, default=LAYOUTS)
    parser.add_argument("--seconds", type=float, help="of each run (default 20, quick: 2)")
    parser.add_argument("--repetitions", type=int, help="of 100 requests/s (default 3, quick: 1)")
    parser.add_argument("--zipf", type=float, default=1.0, help="exponent of the users' power law")
    parser.add_argument("--k", type=int, default=10, help="items asked for")
    chosen = parser.parse_args(arguments)
    given = {name: getattr(chosen, name) for name in ("seconds", "repetitions")}
    extent = replace(
        QUICK if chosen.quick else Extent(),
        **{name: value for name, value in given.items() if value is not None},
    )
    settings = load_settings()
    population = population_of(settings, chosen.zipf, chosen.k)
    for found in ServingBenchmark(settings, population, extent, say).run(chosen.layouts):
        files = write_files(found, settings.home / "bench")
        _print(found)
        say(f"written: {', '.join(str(file) for file in files)}")


def _print(found: report.Report) -> None:
    console = Console()
    table = Table(*report.COLUMNS)
    for row in report.rows(found["layouts"]):
        table.add_row(*row)
    console.print(table)
    for name, value in found["ratios"].items():
        console.print(f"{name}: {value}", highlight=False)
    console.print(report.spread_in_words(found["layouts"]), highlight=False)
    console.print(report.machine_in_words(found["machine"]), highlight=False)


if __name__ == "__main__":
    main()
