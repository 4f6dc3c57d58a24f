"""The benchmark of the served recommender, beside its peers, in one run.

Writes `serving.json`, `serving.md` and `serving.png` into the folder `bench` of the deployment:

- `layouts`: for each one `rates` (by requests per second, open loop) with latencies, errors and
  the rate achieved; `throughput_at_p99_25ms`, the highest rate offered that was answered in full
  within it; `saturation_rps`, answers in full per second with as many in flight as help.
- `ratios`: ours over the peers; its p50 over the floor's.
- `stages`, `usage`: of one run each, milliseconds by stage, CPU and memory by process.
- `closed_loop`: figures of perf_analyzer. `machine`, `settings`: what it was measured on and with.
"""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.machine import describe_machine
from benchmarks.serving import perf_analyzer, plots, report
from benchmarks.serving.extent import Extent
from benchmarks.serving.floors import FloorBenchmark
from benchmarks.serving.layouts import CASE_STUDY, CASE_STUDY_CACHED, FLOOR, OURS, Ours, Running
from benchmarks.serving.load import OWN, Load
from benchmarks.serving.own_answers import OwnAnswers, has_prefix, has_timestamp
from benchmarks.serving.requests import Population
from benchmarks.serving.servers import Say, ServerBenchmark, ServerFigures, as_report
from recsys_assets.runtime.processes import ServiceError
from recsys_assets.settings import Settings
from recsys_assets.storage.filesystem import write_atomically

LAYOUTS = (OURS, CASE_STUDY, CASE_STUDY_CACHED, FLOOR)
_CLOSED_LOOPS = (1, 4, 16)


@dataclass
class ServingBenchmark:
    """One run of the benchmark.

    Attributes:
        settings: of the deployment.
        population: who asks.
        extent: how much is measured.
        say: takes progress lines.
    """

    settings: Settings
    population: Population
    extent: Extent
    say: Say

    def run(self, layouts: Sequence[str]) -> Iterator[dict[str, Any]]:
        """Measures the named layouts one after another; yields the report as far as it is.

        Raises:
            ServiceError: one does not start.
        """
        machine = describe_machine()
        measured: dict[str, ServerFigures] = {}
        extras: dict[str, Any] = {}
        with tempfile.TemporaryDirectory(prefix="bench-serving-") as folder:
            for name in layouts:
                self.say(f"{name}: starting")
                say = partial(self._say_of, name)
                if name == OURS:
                    measured[name], extras = self._ours(say, Path(folder))
                elif name == FLOOR:
                    measured[name] = FloorBenchmark(
                        self.settings, self.population, self.extent, say
                    ).measure()
                else:
                    cached = name == CASE_STUDY_CACHED
                    measured[name] = self._peer(cached, say, Path(folder))
                yield {**self._report(measured, machine), **extras}

    def _ours(self, say: Say, folder: Path) -> tuple[ServerFigures, dict[str, Any]]:
        with Ours(self.settings).start() as running:
            logged = OwnAnswers(self.settings.online_store_url, has_prefix(OWN))
            try:
                figures = ServerBenchmark(
                    Load(running, self.population), self.extent, say
                ).measure()
            finally:
                found = logged.remove()
            say(f"{found} answers were found in the request log, and removed")
            closed = self._closed_loops(running, say, folder)
        return figures, {
            "closed_loop": closed,
            "request_log": {"answers_measured": figures.answered, "answers_logged": found},
        }

    def _closed_loops(self, running: Running, say: Say, folder: Path) -> dict[str, Any]:
        """By perf_analyzer; should it fail, what it said, as the other figures stand without it."""
        own = has_timestamp(perf_analyzer.marker(self.population))
        logged = OwnAnswers(self.settings.online_store_url, own)
        python, seconds = self.settings.models_python, self.extent.seconds / 4
        closed: dict[str, Any] = {}
        for concurrency in _CLOSED_LOOPS:
            try:
                closed[str(concurrency)] = perf_analyzer.measure(
                    running, self.population, python, concurrency, seconds, folder
                )
            except ServiceError as error:
                closed[str(concurrency)] = {"failed": str(error)}
            say(f"perf_analyzer, {concurrency} in flight: {closed[str(concurrency)]}")
        logged.remove()
        return closed

    def _peer(self, cached: bool, say: Say, folder: Path) -> ServerFigures:
        from benchmarks.serving.peers.case_study import case_study

        with case_study(self.settings, cached, folder) as running:
            return ServerBenchmark(Load(running, self.population), self.extent, say).measure()

    def _report(
        self, measured: Mapping[str, ServerFigures], machine: dict[str, object]
    ) -> dict[str, Any]:
        layouts = {name: as_report(figures) for name, figures in measured.items()}
        return {
            "layouts": layouts,
            "ratios": report.ratios(layouts),
            "stages": {name: figures.stages for name, figures in measured.items()},
            "usage": {name: figures.usage for name, figures in measured.items()},
            "machine": machine,
            "settings": {
                **asdict(self.extent),
                "users": len(self.population.users),
                "zipf_exponent": self.population.exponent,
                "anonymous_share": self.population.anonymous,
                "k": self.population.k,
                "today": self.settings.today.isoformat(),
            },
        }

    def _say_of(self, name: str, line: str) -> None:
        self.say(f"{name}: {line}")


def write_files(found: dict[str, Any], folder: Path) -> list[Path]:
    """JSON, Markdown and picture of a report; returns their paths."""
    path = report.write(found, folder, "serving")
    table, picture = path.with_suffix(".md"), path.with_suffix(".png")
    write_atomically(table.as_uri(), report.as_markdown(found).encode())
    stages = {name: parts for name, parts in found["stages"].items() if parts}
    write_atomically(picture.as_uri(), plots.plot_rates(found["layouts"], stages))
    return [path, table, picture]
