"""Picks the cheapest vector index that finds enough, by building and measuring each candidate.

*Enough*: the lower limit (95 %, one-sided, over queries) of recall at 100 against exact search is
not below the target, so that an index built again, or over tomorrow's embeddings, still passes.
*Cheapest*: the least processor time of the median search for as many items as a request asks for,
on one thread; of all within a quarter of the least, the one that takes the least memory.

It is measured where it serves: run by Dagster Pipes in the models environment.

FAISS of that environment, with its own vector instructions, decides what is cheap.
"""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from recsys_assets.models.hyperparameters import parameter
from recsys_assets.models.index import index_kinds, index_measure
from recsys_assets.models.index.index_kinds import CANDIDATES, IndexParameters
from recsys_assets.models.towers import EMBEDDINGS
from recsys_assets.models.training import order
from recsys_assets.storage import Store

AUTO = "auto"
ARTIFACT = "index_tuning"
_TUNING = "tuning.json"
_RECALL_AT = 100
_ONE_SIDED_95 = 1.645  # of the normal distribution
_ALIKE = 1.25  # measured twice on a busy machine, the same search differs by a fifth
_MIB = 2**20
_GRAPH_EFFORTS = (100, 200, 400, 800)
_LIST_EFFORTS = (4, 8, 16, 32, 64, 128, 256)
_SAMPLE_QUERIES = "sample_queries.npy"


@dataclass(frozen=True)
class Tuning:
    """What the index must do, and how it is measured."""

    recall_target: float = parameter(0.98, "Least recall at 100 against exact search")
    memory_limit_mib: int = parameter(0, "Most that a stored index may take; 0 = no limit")
    k: int = parameter(CANDIDATES, "Items that a timed search asks for, as requests do")
    searches: int = parameter(1024, "Timed searches for each configuration")


@dataclass(frozen=True)
class Measured:
    """One configuration: recall with its lower limit, milliseconds of a search, and size.

    `cpu_…` is processor time, which other work on the machine does not lengthen.
    """

    parameters: IndexParameters
    recall_at_100: float
    recall_low: float
    p50_ms: float
    p99_ms: float
    cpu_p50_ms: float
    cpu_p99_ms: float
    bytes: int
    build_seconds: float


class NoIndexFits(ValueError):
    """No configuration meets recall target and memory limit; the message says what came nearest."""


def configurations(count: int) -> list[IndexParameters]:
    """What is built for a catalogue of `count` items, without kinds that it is too small for."""
    graphs = [
        IndexParameters(kind, _GRAPH_EFFORTS[0], links, construction)
        for kind in index_kinds.GRAPHS
        for links, construction in ((16, 40), (16, 200), (32, 200))
    ]
    kinds = index_kinds.LISTS if count >= index_kinds.LEAST_TO_TRAIN else ()
    lists = [index_kinds.default_parameters(kind, count) for kind in kinds]
    return [IndexParameters("flat"), *lists, *graphs]


def measure(
    embeddings: np.ndarray, queries: np.ndarray, tuning: Tuning, say: Callable[[str], None]
) -> list[Measured]:
    """Builds each configuration on one thread, so always alike, and searches it by each effort.

    Args:
        embeddings: float32 [n, d] of unit length.
        queries: float32 [m, d], real ones.
        tuning: what to measure.
        say: takes a line of progress.
    """
    wanted = min(_RECALL_AT, len(embeddings))
    exact = index_measure.exact_nearest(index_measure.in_chunks(embeddings), queries, wanted)
    found: list[Measured] = []
    for parameters in configurations(len(embeddings)):
        started = time.monotonic()
        index = index_kinds.build(embeddings, parameters, threads=1)
        cost = (index_measure.serialized_bytes(index), round(time.monotonic() - started, 2))
        for effort in _efforts(index, tuning.k):
            tried = replace(parameters, effort=effort)
            found.append(_searched(index, tried, queries, exact, tuning, cost))
            last = found[-1]
            say(f"{tried.name}, {effort}: recall {last.recall_at_100:.4f}, {last.p50_ms} ms")
    return found


def _efforts(index: Any, k: int) -> list[int]:
    tried = _GRAPH_EFFORTS if index_kinds.is_graph(index) else _LIST_EFFORTS
    return sorted({index_kinds.effort_for(index, effort, k) for effort in tried})


def _searched(
    index: Any,
    parameters: IndexParameters,
    queries: np.ndarray,
    exact: np.ndarray,
    tuning: Tuning,
    cost: tuple[int, float],
) -> Measured:
    rows = index_measure.search_with(index, queries, tuning.k, parameters.effort)
    shares = index_measure.recalls(rows, exact)
    spread = _ONE_SIDED_95 * float(shares.std()) / np.sqrt(len(shares))
    timed = index_measure.latency(index, queries, tuning.k, parameters.effort, tuning.searches)
    return Measured(
        parameters,
        round(float(shares.mean()), 5),
        round(float(shares.mean() - spread), 5),
        timed.p50_ms,
        timed.p99_ms,
        timed.cpu_p50_ms,
        timed.cpu_p99_ms,
        *cost,
    )


def choose(measured: Sequence[Measured], tuning: Tuning) -> Measured:
    """The cheapest that finds enough and is small enough.

    Raises:
        NoIndexFits: there is none.
    """
    limit = tuning.memory_limit_mib * _MIB
    small = [one for one in measured if not limit or one.bytes <= limit]
    fitting = [one for one in small if one.recall_low >= tuning.recall_target]
    if not fitting:
        best = max(small or measured, key=lambda one: one.recall_low)
        raise NoIndexFits(
            f"no index reaches recall_target={tuning.recall_target} within "
            f"memory_limit_mib={tuning.memory_limit_mib}: nearest is {best.parameters.name} with "
            f"{best.recall_low:.4f} in {best.bytes / _MIB:.1f} MiB. Lower the target or raise the "
            "limit"
        )
    least = min(one.cpu_p50_ms for one in fitting)
    alike = [one for one in fitting if one.cpu_p50_ms <= _ALIKE * least]
    return min(alike, key=lambda one: (one.bytes, one.cpu_p50_ms))


def write_tuning(
    folder: Path, tuning: Tuning, measured: Sequence[Measured], chosen: Measured
) -> None:
    """Writes `tuning.json`: what was asked, each configuration, and the one chosen."""
    written = {
        "tuning": asdict(tuning),
        "chosen": asdict(chosen),
        "measured": [asdict(one) for one in measured],
    }
    (folder / _TUNING).write_text(json.dumps(written, indent=2), encoding="utf-8")


def read_tuning(folder: Path) -> tuple[Measured, list[Measured]]:
    """The chosen configuration, and all that were measured."""
    written = json.loads((folder / _TUNING).read_text(encoding="utf-8"))
    return _measured(written["chosen"]), [_measured(one) for one in written["measured"]]


def _measured(written: Mapping[str, Any]) -> Measured:
    return Measured(**{**written, "parameters": IndexParameters(**written["parameters"])})


def parameters_for(store: Store, kind: str, count: int) -> IndexParameters:
    """How to build the index of a deployment.

    Args:
        store: where the tuning is published.
        kind: one of `index_kinds.KINDS`, or `auto` for what the tuning has chosen.
        count: items of the catalogue.

    Raises:
        MissingArtifact: `auto`, and `index_tuning` has not been materialized.
        ValueError: another kind, or too few items for it.
    """
    if kind != AUTO:
        return index_kinds.default_parameters(kind, count)
    return read_tuning(store.artifact(ARTIFACT).fetch())[0].parameters


def tune(store: Store, tuning: Tuning, say: Callable[[str], None]) -> str:
    """Measures the catalogue's index, publishes the choice, and returns its version.

    Raises:
        NoIndexFits: no configuration meets target and limit.
    """
    embeddings = np.load(store.artifact("item_embeddings").fetch() / EMBEDDINGS)
    queries = np.load(store.artifact("two_tower").fetch() / _SAMPLE_QUERIES)
    measured = measure(embeddings, queries, tuning, say)
    with store.artifact(ARTIFACT).new_version() as draft:
        write_tuning(draft.path, tuning, measured, choose(measured, tuning))
    return draft.version


def main() -> None:
    """Takes the order from Pipes: extras `store`, a URL, and `parameters` of the tuning."""
    with order() as pipes:
        store, tuning = Store(pipes.get_extra("store")), Tuning(**pipes.get_extra("parameters"))
        pipes.report_custom_message({"version": tune(store, tuning, pipes.log.info)})


if __name__ == "__main__":
    main()
