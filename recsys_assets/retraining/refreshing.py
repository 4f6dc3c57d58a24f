"""A refresh: the live release's weights over what is known by now.

What a day brings (new and withdrawn items, activity, promotions, purchases) so goes live without
training. Nothing is learned, so there is nothing to judge but that it answers well and has not
lost what the live release knows.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from recsys_assets.models.training_data import CatalogueSnapshot
from recsys_assets.releases.release import Releases
from recsys_assets.releases.rendering import Origin, render
from recsys_assets.releases.serving_config import ServingConfig
from recsys_assets.retraining.candidate import serving_parts, weights_of
from recsys_assets.retraining.comparison import as_markdown, compare_data
from recsys_assets.retraining.gate import Comparison, Verdict, evaluation_window, judge_refresh
from recsys_assets.retraining.release_candidate import CandidateInputs, ask, live_release, settle
from recsys_assets.triton.repository import item_ids

_NAMES = {part: f"refreshed_{part}" for part in ("item_embeddings", "item_index")}


@dataclass(frozen=True)
class Refreshed:
    """The live weights over newer data.

    Attributes:
        release: its number.
        base_release: that was live when it was made.
        weights_release: that brought the weights.
        verdict: whether it may be promoted.
        gain: what fresh data were worth on days that are known by now; None where the live
            release's are newer than those days.
        faults: of its canary answers.
        latency: of its answers, by name.
        index_recall: at 100, against exact search.
        items: in its catalogue.
        new_items: of them, those that the live release lacks.
        withdrawn_items: those that only the live release has.
    """

    release: int
    base_release: int
    weights_release: int
    verdict: Verdict
    gain: Comparison | None
    faults: tuple[str, ...]
    latency: Mapping[str, float]
    index_recall: float
    items: int
    new_items: int
    withdrawn_items: int

    def gain_as_markdown(self) -> str:
        """A table of what fresh data were worth."""
        return as_markdown([self.gain]) if self.gain else "the live release's data are as fresh"

    def figures(self) -> dict[str, Any]:
        """The numbers that a chart over refreshes wants."""
        rows = self.gain.metrics if self.gain else ()
        return {
            "items": self.items,
            "new_items": self.new_items,
            "withdrawn_items": self.withdrawn_items,
            "index_recall_at_100": self.index_recall,
            **self.latency,
            **{f"data_{row.metric}_over_live": row.over_live.mean for row in rows},
        }


def make_refresh(inputs: CandidateInputs, day: str, log: Callable[[str], object]) -> Refreshed:
    """Makes the refresh of a day; approves it, or rejects it with its reasons.

    Args:
        inputs: see there.
        day: the partition: what is known at its end, YYYY-MM-DD.
        log: takes lines of progress.

    Raises:
        MissingRelease: nothing has been promoted yet.
        MissingArtifact, MissingPartition: what the live release was made of, or a table of the
            day, is not there.
    """
    store, releases, rules = inputs.store, Releases(inputs.store), inputs.rules
    base = live_release(releases)
    brought_by = releases.weights_of(base)
    before = set(item_ids(releases.fetch(base), base))
    window = evaluation_window(day, rules, inputs.attribution_hours)
    known = CatalogueSnapshot.at(store, day)
    gain = compare_data(releases, base, known, window, inputs.attribution_hours)
    weights = weights_of(releases, base)
    parts, recall = serving_parts(store, weights, known, inputs.index_kind, _NAMES)
    origin = Origin(
        releases.manifest(base)["trained_through"],
        inputs.run_id,
        base,
        inputs.cause,
        brought_by,
    )
    release = render(releases, parts, day, origin, ServingConfig.of(releases, base))
    log(f"rendered release {release}: weights of {brought_by}, data through {day}")
    now = set(known.history.item_ids.tolist())
    withdrawn = len(before - now)
    answered = ask(inputs, release, day)
    verdict = judge_refresh(gain, withdrawn / len(before), answered.faults, answered.p50_ms, rules)
    settle(releases, release, verdict)
    return Refreshed(
        release=release,
        base_release=base,
        weights_release=brought_by,
        verdict=verdict,
        gain=gain,
        faults=answered.faults,
        latency=answered.latency,
        index_recall=recall,
        items=len(now),
        new_items=len(now - before),
        withdrawn_items=withdrawn,
    )
