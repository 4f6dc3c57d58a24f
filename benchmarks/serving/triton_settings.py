"""What each setting of Triton does: `python -m benchmarks.serving.triton_settings`.

The promoted release is served by a Triton of its own, once for each variant of
`triton_repo/pipeline/config.pbtxt`, and asked at the same rates by the same visitors. Writes
`triton_settings.json` and `triton_settings.md` and prints the table.
"""

import argparse
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from benchmarks.machine import describe_machine
from benchmarks.serving import report
from benchmarks.serving.arrivals import poisson
from benchmarks.serving.layouts import Running
from benchmarks.serving.load import OWN, Load
from benchmarks.serving.measuring import Summary, summarize
from benchmarks.serving.own_answers import OwnAnswers, has_prefix
from benchmarks.serving.progress import say
from benchmarks.serving.requests import Population, population_of
from recsys_assets.rollout.single_server import load
from recsys_assets.runtime.processes import ServiceError, free_addresses
from recsys_assets.services import deployment
from recsys_assets.services.valkey import Valkey
from recsys_assets.settings import Settings, load_settings
from recsys_assets.storage.filesystem import write_atomically
from recsys_assets.triton.client import CACHED, MODEL
from recsys_assets.triton.repository import CONFIG, PIPELINE, add_version, write_configs
from recsys_assets.triton.server import Addresses, TritonServer

_WARM_UP_SECONDS = 1.0
_CACHED_SECONDS = 900  # times of anonymous visitors are rounded down to a quarter of an hour
_BATCHING = re.compile(r"^# A batch is.*\Z", re.MULTILINE | re.DOTALL)
_PLAIN = "dynamic_batching { max_queue_delay_microseconds: %d %s}\n"


@dataclass(frozen=True)
class Variant:
    """One way to configure the model `pipeline`, and which ensemble is asked by whom.

    `batching` takes the place of everything from the batching on; None leaves it as it is.
    """

    name: str
    instances: int = 2
    batching: str | None = None
    model: str = MODEL
    anonymous: float | None = None

    def apply(self, config: str) -> str:
        """The text of `config.pbtxt`."""
        changed = re.sub(r"count: \d+ kind", f"count: {self.instances} kind", config)
        return changed if self.batching is None else _BATCHING.sub(self.batching, changed)


VARIANTS = (
    Variant("as served: 2 instances, batches of what waits, priorities, limits"),
    Variant("1 instance", instances=1),
    Variant("3 instances", instances=3),
    Variant("no dynamic batching, priorities or limits", batching=""),
    Variant("no priorities or limits", batching=_PLAIN % (0, "")),
    Variant("the same, 1 instance", instances=1, batching=_PLAIN % (0, "")),
    Variant("the same, waits 1 ms for company", batching=_PLAIN % (1000, "")),
    Variant(
        "the same, waits 1 ms for 4 or 8",
        batching=_PLAIN % (1000, "preferred_batch_size: [ 4, 8 ] "),
    ),
    Variant("anonymous visitors alone, as served", anonymous=1.0),
    Variant("anonymous visitors alone, response cache", model=CACHED, anonymous=1.0),
)


@contextmanager
def started(settings: Settings, variant: Variant, folder: Path) -> Iterator[Running]:
    """A Triton of its own with the promoted release.

    Raises:
        ServiceError: nothing is promoted, or the release does not load.
    """
    releases = deployment.releases(settings)
    promoted = releases.promoted()
    if promoted is None:
        raise ServiceError("no release is promoted: run `recsys demo` first")
    release = releases.fetch(promoted.release)
    http, grpc, metrics = free_addresses(3)
    triton = replace(
        TritonServer.of(settings),
        folder=folder / "triton",
        repository=folder / "models",
        addresses=Addresses(http, grpc, metrics),
    )
    add_version(release / "models", triton.repository, promoted.release)
    write_configs(release / "templates", triton.repository, promoted.release)
    config = triton.repository / PIPELINE / CONFIG
    config.write_text(variant.apply(config.read_text()))
    try:
        pid = triton.start()
        load(str(grpc), promoted.release, triton.wait_seconds)
        yield Running(str(grpc), variant.model, {"tritonserver": pid}, str(metrics))
    finally:
        triton.stop()


def measured(
    running: Running, population: Population, rate: float, seconds: float, seed: int
) -> Summary:
    """One open-loop run, its first second left out."""
    end = _WARM_UP_SECONDS + seconds
    outcomes = Load(running, population, seed=seed).open(poisson(rate, end, seed))
    return summarize(outcomes, _WARM_UP_SECONDS, end)


def as_table(found: dict[str, dict[str, Summary]]) -> str:
    """Markdown: variants by rates."""
    rates = list(next(iter(found.values())))
    head = [f"p50 / p99 at {rate}/s, ms | less than full" for rate in rates]
    lines = [f"| setting | {' | '.join(head)} |", "|---|" + "---|---|" * len(rates)]
    for name, by_rate in found.items():
        cells = [
            f"{one.p50_ms:.1f} / {one.p99_ms:.1f} | "
            f"{one.degraded:.1%}{f', {one.errors} errors' if one.errors else ''}"
            for one in by_rate.values()
        ]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measures all variants one after another."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rates", type=float, nargs="+", default=[100, 300])
    parser.add_argument("--seconds", type=float, default=10.0, help="at each rate")
    arguments = parser.parse_args()
    settings = load_settings()
    Valkey.of(settings).start()
    everybody = population_of(settings)
    logged = OwnAnswers(settings.online_store_url, has_prefix(OWN))
    found: dict[str, dict[str, Summary]] = {}
    for variant in VARIANTS:
        population = everybody
        if variant.anonymous is not None:
            population = replace(everybody, anonymous=variant.anonymous, every=_CACHED_SECONDS)
        with (
            tempfile.TemporaryDirectory(dir=settings.home) as folder,
            started(settings, variant, Path(folder)) as running,
        ):
            found[variant.name] = {
                f"{rate:g}": measured(running, population, rate, arguments.seconds, 1 + number)
                for number, rate in enumerate(arguments.rates)
            }
        say(f"{variant.name}: {[one.p50_ms for one in found[variant.name].values()]} ms")
    logged.remove()
    table = as_table(found)
    say(f"\n{table}")
    target = settings.home / "bench"
    figures = {name: {rate: asdict(one) for rate, one in by.items()} for name, by in found.items()}
    written = {"variants": figures, "settings": vars(arguments), "machine": describe_machine()}
    path = report.write(written, target, "triton_settings")
    write_atomically((target / "triton_settings.md").as_uri(), table.encode())
    say(f"written: {path}")


if __name__ == "__main__":
    main()
