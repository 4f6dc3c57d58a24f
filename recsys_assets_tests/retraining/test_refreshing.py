"""What becomes of a refresh; rendering and the canary are played by others."""

import json
from types import SimpleNamespace

import dagster as dg
import numpy as np
import pytest

from recsys_assets.defs.graph.retraining import refreshes
from recsys_assets.defs.resources import StoreResource, VectorIndex
from recsys_assets.defs.retraining_resources import CandidateGate
from recsys_assets.defs.serving_resources import ServingResource
from recsys_assets.releases.release import MANIFEST, MissingRelease, Reason, Releases
from recsys_assets.retraining import refreshing
from recsys_assets.retraining.gate import GateRules, nothing_newer
from recsys_assets.retraining.refreshing import make_refresh
from recsys_assets.retraining.release_candidate import Answered, CandidateInputs, live_release
from recsys_assets.settings import load_settings
from recsys_assets.storage import Store

DAY = "2017-10-05"
LIVE = [f"item-{n}" for n in range(10)]
NOW = [*LIVE[1:], "new-1", "new-2"]
SOUND, FAULTY = (
    Answered((), {"latency_ms_p50": 2.0}, (2.0, 2.0)),
    Answered(("odd",), {}, (0.0, 0.0)),
)


@pytest.fixture
def releases(tmp_path):
    """Release 1, trained and known through 2017-10-01, is live."""
    releases = Releases(Store(tmp_path.as_uri()))
    publish(releases)
    releases.record(1, (), Reason("a first release", "pytest"))
    return releases


def publish(releases, data="2017-10-01", origin=None):
    with releases.new() as draft:
        described = {"trained_through": "2017-10-01", "item_features_day": data}
        (draft.path / MANIFEST).write_text(json.dumps(described))
    if origin is not None and origin.weights_release is not None:
        releases.note_refresh(int(draft.version), origin.weights_release)
    return int(draft.version)


@pytest.fixture
def make(releases, monkeypatch):
    """Makes the refresh of a day that answers so; notes what was rendered."""
    rendered = []
    history = SimpleNamespace(item_ids=np.array(NOW, dtype=object))

    def render(_, parts, day, origin, config):
        rendered.append((parts, day, origin, config))
        return publish(releases, day, origin)

    def parts(store, weights, known, kind, names):
        return (weights, names), 0.99

    monkeypatch.setattr(refreshing, "weights_of", lambda _, release: f"weights of {release}")
    monkeypatch.setattr(refreshing, "compare_data", lambda *_: None)
    monkeypatch.setattr(refreshing, "item_ids", lambda *_: LIVE)
    monkeypatch.setattr(
        refreshing.CatalogueSnapshot, "at", lambda *_: SimpleNamespace(history=history)
    )
    monkeypatch.setattr(refreshing.ServingConfig, "of", lambda *_: "as the live one's")
    monkeypatch.setattr(refreshing, "serving_parts", parts)
    monkeypatch.setattr(refreshing, "render", render)

    def make(day=DAY, answered=SOUND, rules=None):
        monkeypatch.setattr(refreshing, "ask", lambda *_: answered)
        where = (None, "nowhere:1", "redis://nowhere", "flat")
        inputs = CandidateInputs(
            releases.store, *where, rules or GateRules(), 24, "run 7", "a new day"
        )
        return make_refresh(inputs, day, lambda _: None), rendered

    return make


def test_the_live_weights_are_rendered_over_the_day_with_their_own_settings(make):
    _, [((weights, names), day, origin, config)] = make()

    assert weights == "weights of 1"
    assert set(names.values()) == {"refreshed_item_embeddings", "refreshed_item_index"}
    assert (day, config) == (DAY, "as the live one's")
    assert (origin.trained_through, origin.cause) == ("2017-10-01", "a new day")
    assert (origin.base_release, origin.weights_release) == (1, 1)


def test_a_sound_one_is_approved_and_says_what_has_changed(make, releases):
    made, _ = make()

    assert releases.is_approved(made.release)
    assert made.figures() == {
        "items": 11,
        "new_items": 2,
        "withdrawn_items": 1,
        "index_recall_at_100": 0.99,
        "latency_ms_p50": 2.0,
    }


def test_the_refresh_of_a_refresh_goes_on_with_the_same_weights(make, releases):
    first, _ = make()
    releases.record(first.release, (1,), Reason("a new day", "pytest"))
    second, rendered = make("2017-10-06")

    assert (second.base_release, second.weights_release) == (first.release, 1)
    assert releases.weights_of(second.release) == 1
    assert rendered[-1][2].trained_through == "2017-10-01"


@pytest.mark.parametrize(
    ("answered", "rules", "reason"),
    [
        (FAULTY, None, "canary: odd"),
        (SOUND, GateRules(max_withdrawn=0.09), "10.0% of the live release's items are in"),
    ],
)
def test_what_answers_badly_or_has_lost_items_is_kept_with_the_reason(
    make, releases, answered, rules, reason
):
    made, _ = make(answered=answered, rules=rules)

    assert not releases.is_approved(made.release)
    assert releases.rejection(made.release).startswith(reason)


def test_only_a_later_day_is_news(releases):
    assert nothing_newer(releases, 1, "2017-10-02") == ""
    for day in ("2017-10-01", "2017-09-30"):
        assert nothing_newer(releases, 1, day) == (
            f"release 1, which is live, holds the data through 2017-10-01: {day} is no news to it"
        )


def test_before_the_first_promotion_there_is_nothing_to_refresh(tmp_path):
    with pytest.raises(MissingRelease, match="materialize promoted_release"):
        live_release(Releases(Store(tmp_path.as_uri())))


class TestAsset:
    """`refreshed_release` in a run with what is promoted after it."""

    @pytest.fixture
    def run(self, releases, make, monkeypatch):
        """Runs both for a day; returns the result."""
        settings = load_settings({"RECSYS_HOME": "/nowhere"})

        @dg.asset(deps=["refreshed_release"])
        def promoted_release() -> None: ...

        def run(day, answered=SOUND):
            make("2017-10-01")  # plays the rest; the release that it makes is not promoted
            monkeypatch.setattr(refreshing, "ask", lambda *_: answered)
            return dg.materialize(
                [refreshes.refreshed_release, promoted_release],
                partition_key=day,
                resources={
                    "store": StoreResource(url=releases.store.url),
                    "serving": ServingResource.from_settings(settings),
                    "vector_index": VectorIndex(kind="flat"),
                    "gate": CandidateGate(attribution_hours=24),
                },
                raise_on_error=False,
            )

        return run

    def made(self, result):
        events = result.get_asset_materialization_events()
        return {event.asset_key.to_user_string(): event for event in events}

    def test_a_day_that_is_news_is_made_checked_and_promoted(self, run):
        result = run(DAY)
        metadata = self.made(result)["refreshed_release"].materialization.metadata

        assert result.success
        assert set(self.made(result)) == {"refreshed_release", "promoted_release"}
        assert (metadata["weights_release"].value, metadata["data_through"].value) == (1, DAY)
        assert [check.passed for check in result.get_asset_check_evaluations()] == [True, True]

    def test_a_day_that_is_none_is_skipped_with_the_reason_and_nothing_is_promoted(self, run):
        result = run("2017-10-01")
        (seen,) = result.get_asset_observation_events()

        assert result.success
        assert self.made(result) == {}
        reason = seen.asset_observation_data.asset_observation.metadata["skipped"].value
        assert reason.startswith("release 1, which is live, holds the data through 2017-10-01")

    def test_one_that_answers_badly_is_not_promoted(self, run):
        result = run(DAY, FAULTY)

        assert not result.success
        assert set(self.made(result)) == {"refreshed_release"}
