"""From trained weights to a judged release: judge, render, ask, decide, record."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

from recsys_assets.events.purchases import purchased_items
from recsys_assets.features.online import last_complete_day
from recsys_assets.models.item_history import midnight_after
from recsys_assets.models.training_data import CatalogueSnapshot
from recsys_assets.pipeline.item_changes import off_sale_items
from recsys_assets.releases.release import MissingRelease, Releases
from recsys_assets.releases.rendering import Origin, ReleaseParts, render
from recsys_assets.releases.serving_config import ServingConfig
from recsys_assets.retraining.candidate import serving_parts, weights_of
from recsys_assets.retraining.comparison import as_markdown, compare_weights
from recsys_assets.retraining.gate import (
    NEWEST,
    Comparison,
    GateRules,
    Verdict,
    evaluation_window,
    judge,
)
from recsys_assets.rollout.canary import CanaryServer, canaries, check_release, measure_latency
from recsys_assets.storage import Store
from recsys_assets.triton.client import is_live

_METRICS = "metrics.json"
_KNOWN_USERS = 5
_TIMED_REQUESTS = 100


@dataclass(frozen=True)
class CandidateInputs:
    """Everything that making a candidate needs beside its day.

    Attributes:
        store: holds models, tables and releases.
        canary: serves the candidate while it is asked.
        live_grpc: where the live release is asked, host:port.
        online_store_url: what both look users up in.
        index_kind: flat, hnsw or ivfpq.
        rules: of the gate.
        attribution_hours: a purchase counts that follows a request within these.
        run_id: goes into the manifest.
        cause: likewise.
    """

    store: Store
    canary: CanaryServer
    live_grpc: str
    online_store_url: str
    index_kind: str
    rules: GateRules
    attribution_hours: int
    run_id: str
    cause: str


@dataclass(frozen=True)
class ReleaseCandidate:
    """A rendered candidate with its verdict."""

    release: int
    base_release: int
    verdict: Verdict
    comparisons: tuple[Comparison, ...]
    faults: tuple[str, ...]
    latency: Mapping[str, float]
    index_recall: float

    def comparison_as_markdown(self) -> str:
        """Tables of what was compared."""
        return as_markdown(self.comparisons)

    def figures(self) -> dict[str, Any]:
        """The numbers that a chart over candidates wants."""
        figures = {"index_recall_at_100": self.index_recall, **self.latency}
        for comparison in self.comparisons:
            for row in comparison.metrics:
                figures[f"{comparison.span}_{row.metric}"] = row.candidate
                figures[f"{comparison.span}_{row.metric}_over_live"] = row.over_live.mean
        return figures


def live_release(releases: Releases) -> int:
    """The promoted release, which candidates start from and are held against.

    Raises:
        MissingRelease: nothing has been promoted yet.
    """
    promoted = releases.promoted()
    if promoted is None:
        raise MissingRelease(
            f"no release at {releases.url} has been promoted, so there is nothing to fine-tune: "
            "materialize promoted_release (`make demo` does)"
        )
    return promoted.release


def make_candidate(
    inputs: CandidateInputs, day: str, artifacts: Mapping[str, str], log: Callable[[str], object]
) -> ReleaseCandidate:
    """Makes the candidate of a day; approves it, or rejects it with its reasons.

    Args:
        inputs: see there.
        day: the partition: what is known at its end, YYYY-MM-DD.
        artifacts: names of the trained artifacts by part; other weights are the live ones.
        log: takes lines of progress.

    Raises:
        MissingArtifact, MissingPartition: a model, or a table of a day, is not there.
    """
    releases, rules = Releases(inputs.store), inputs.rules
    base = live_release(releases)
    window = evaluation_window(day, rules, inputs.attribution_hours)
    # What was not trained anew stays as it is live.
    trained = weights_of(releases, base) | ReleaseParts.current(inputs.store, artifacts)
    window = replace(window, through=_learned_through(trained.folders))
    known = CatalogueSnapshot.at(inputs.store, day)
    comparisons = compare_weights(
        releases, base, trained.folders, known, window, rules, inputs.attribution_hours
    )
    log(_summary(comparisons))
    names = {part: f"candidate_{part}/{day}" for part in ("item_embeddings", "item_index")}
    parts, recall = serving_parts(inputs.store, trained, known, inputs.index_kind, names)
    origin = Origin(window.through, inputs.run_id, base, inputs.cause)
    release = render(releases, parts, day, origin, ServingConfig.of(releases, base))
    log(f"rendered release {release}, index recall@100 {recall:.3f}")
    answered = ask(inputs, release, day)
    verdict = judge(comparisons, answered.faults, answered.p50_ms, rules)
    settle(releases, release, verdict)
    return ReleaseCandidate(
        release, base, verdict, tuple(comparisons), answered.faults, answered.latency, recall
    )


@dataclass(frozen=True)
class Answered:
    """How a release that is not live yet answered.

    `p50_ms` is its median latency, and that of the live release in the same minute.
    """

    faults: tuple[str, ...]
    latency: Mapping[str, float]
    p50_ms: tuple[float, float]


def ask(inputs: CandidateInputs, release: int, day: str) -> Answered:
    """Has a release of what is known at the end of a day served, and asks it."""
    purchased = purchased_items(inputs.store, _online_through(inputs, day))
    report = check_release(
        Releases(inputs.store),
        release,
        inputs.canary,
        canaries(dict(islice(purchased.items(), _KNOWN_USERS))),
        midnight_after(day),
        off_sale_items(inputs.online_store_url),
    )
    faults = tuple(fault for finding in report.faulty for fault in finding.faults)
    p50_ms = report.latency.get("latency_ms_p50", 0.0)
    live_p50_ms = _live_p50_ms(inputs, list(purchased), midnight_after(day))
    return Answered(faults, report.latency, (p50_ms, live_p50_ms))


def settle(releases: Releases, release: int, verdict: Verdict) -> None:
    """Approves a release, or rejects it with the reasons."""
    if verdict.better:
        releases.approve(release)
    else:
        releases.reject(release, verdict.reason)


def _learned_through(folders: Mapping[str, Path]) -> str:
    """The last day that any of the models has learned from."""
    metrics = (json.loads((folder / _METRICS).read_text()) for folder in folders.values())
    return max(str(of_model["trained_through"]) for of_model in metrics)


def _live_p50_ms(inputs: CandidateInputs, users: Sequence[str], moment: int) -> float:
    """Latency of the live release at this moment, 0 where no server runs."""
    if not is_live(inputs.live_grpc):
        return 0.0
    return measure_latency(inputs.live_grpc, users, moment, _TIMED_REQUESTS).p50_ms


def _online_through(inputs: CandidateInputs, day: str) -> str:
    """The last day whose purchases the online store knows, `day` at the latest."""
    return min(day, last_complete_day(inputs.online_store_url) or day)


def _summary(comparisons: list[Comparison]) -> str:
    newest = [one for one in comparisons if one.span == NEWEST]
    if not newest:
        return "nothing to compare on in the newest days"
    ndcg = newest[0].metric("ndcg_at_10")
    return (
        f"NDCG@10 of the newest days: candidate {ndcg.candidate:.4f}, live {ndcg.live:.4f}, "
        f"popularity {ndcg.popularity:.4f}"
    )
