"""What becomes of a candidate; judging, rendering and the canary are played by others."""

from collections import Counter

import numpy as np
import pyarrow as pa
import pytest

from recsys_assets.metrics import Estimate
from recsys_assets.releases.offline import Answers, Sessions
from recsys_assets.releases.release import MissingRelease, Reason, Releases
from recsys_assets.releases.rendering import ReleaseParts
from recsys_assets.retraining import comparison, release_candidate
from recsys_assets.retraining.gate import DATA, NEWEST, OLDER, Compared, Comparison, GateRules
from recsys_assets.retraining.labelled import LabelledDay
from recsys_assets.retraining.release_candidate import CandidateInputs, live_release, make_candidate
from recsys_assets.rollout.canary import CanaryReport, Finding
from recsys_assets.storage import Store
from recsys_assets.storage.store import Table
from recsys_assets_tests.models_environment import THROUGH, write_store
from recsys_assets_tests.serving.tiny_release import publish_tiny_release

DAY = "2025-03-05"
ARTIFACTS = {"two_tower": f"tower/{DAY}", "dlrm": f"dlrm/{DAY}"}
SOUND = CanaryReport((), 2.0, 4.0)
FAULTY = CanaryReport((Finding("ann", 10, ("an item appears twice",)),), None, None)


def compared(gain):
    over = Estimate(gain, gain - 0.001, gain + 0.001)
    row = Compared("ndcg_at_10", 0.1 + gain, 0.1, 0.05, over, Estimate(0.05, 0.04, 0.06))
    return [Comparison(NEWEST, ("2025-03-04",), 400, 300, (row,))]


@pytest.fixture
def releases(tmp_path):
    releases = Releases(Store(tmp_path.as_uri()))
    for name in ARTIFACTS.values():
        with releases.store.artifact(name).new_version() as draft:
            (draft.path / "metrics.json").write_text('{"trained_through": "2025-03-01"}')
    releases.store.table("interactions").write(
        pa.table({"user_id": ["ann"], "item_id": ["a"], "event": ["purchase"]}), DAY
    )
    releases.record(publish_tiny_release(releases), (), Reason("a first release", "pytest"))
    return releases


@pytest.fixture
def make(releases, monkeypatch):
    """Makes the candidate of a day that gains so much, None to compare it, and answers so."""
    origins = []

    def rendered(_, parts, day, origin, config):
        assert config == "as the live one's"
        origins.append((day, origin))
        return publish_tiny_release(releases)

    def make(gain=0.02, report=SOUND, rules=None, day=DAY):
        if gain is not None:
            monkeypatch.setattr(release_candidate, "compare_weights", lambda *_: compared(gain))
            monkeypatch.setattr(release_candidate.CatalogueSnapshot, "at", lambda *_: None)
        live = ReleaseParts({"boosted_ranker": "live"}, {"boosted_ranker": "7"}, {})
        monkeypatch.setattr(release_candidate, "weights_of", lambda *_: live)
        monkeypatch.setattr(release_candidate, "check_release", lambda *_: report)
        monkeypatch.setattr(release_candidate, "render", rendered)
        monkeypatch.setattr(release_candidate, "serving_parts", lambda *_: (None, 0.99))
        monkeypatch.setattr(release_candidate.ServingConfig, "of", lambda *_: "as the live one's")
        monkeypatch.setattr(release_candidate, "_online_through", lambda _, day: day)
        monkeypatch.setattr(release_candidate, "is_live", lambda _: False)
        monkeypatch.setattr(release_candidate, "off_sale_items", lambda _: frozenset())
        # No canary: `check_release` is played.
        where = (None, "nowhere:1", "redis://nowhere")
        rules = rules or GateRules()
        inputs = CandidateInputs(releases.store, *where, "flat", rules, 24, "run 7", "drift")
        return make_candidate(inputs, day, ARTIFACTS, lambda _: None), origins

    return make


def test_a_better_candidate_is_approved(make, releases):
    made, _ = make()

    assert made.verdict.better
    assert (made.release, made.base_release) == (2, 1)
    assert releases.is_approved(2)
    assert releases.rejection(2) is None


def test_a_worse_one_is_kept_with_the_reason(make, releases):
    made, _ = make(gain=-0.01)

    assert not releases.is_approved(2)
    assert releases.rejection(2) == made.verdict.reason
    assert "not above live: -0.0100" in made.verdict.reason


def test_one_that_answers_badly_is_rejected_however_good_its_models(make, releases):
    made, _ = make(report=FAULTY)

    assert made.faults == ("an item appears twice",)
    assert releases.rejection(2) == "canary: an item appears twice"


def test_one_that_answers_late_is_rejected(make, releases):
    make(rules=GateRules(max_p50_ms=1.9))

    assert releases.rejection(2) == "p50 latency is 2.0 ms, at most 1.9 are allowed"


def test_nothing_is_promoted_by_making_it(make, releases):
    make()

    assert releases.promoted().release == 1


def test_its_origin_says_what_it_learned_from_and_why(make):
    _, [(day, origin)] = make()

    assert day == DAY
    assert origin.trained_through == "2025-03-01"
    assert (origin.base_release, origin.run_id, origin.cause) == (1, "run 7", "drift")


def test_its_figures_can_be_charted(make):
    made, _ = make()
    figures = made.figures()

    assert figures["newest_ndcg_at_10"] == pytest.approx(0.12)
    assert figures["newest_ndcg_at_10_over_live"] == pytest.approx(0.02)
    assert figures["latency_ms_p99"] == 4.0
    assert figures["index_recall_at_100"] == 0.99


def test_history_and_texts_of_the_catalogue_are_read_once(make, tmp_path, monkeypatch):
    class Shows:
        def answer(self, sessions, purchased):
            return Answers([], [], [np.array(["item-0"], dtype=object)] * len(sessions))

    def labelled(_, days, hours):
        columns = [np.array(["ann"], dtype=object), np.zeros(1, np.int64), np.array(["web"])]
        return [LabelledDay(day, Sessions(*columns, {}), [frozenset("a")], {}) for day in days]

    def counted(table, *args, **named):
        reads[table.name] += 1
        return read(table, *args, **named)

    write_store(tmp_path)
    reads, read = Counter(), Table.read
    monkeypatch.setattr(Table, "read", counted)
    monkeypatch.setattr(release_candidate, "_learned_through", lambda _: "2025-01-15")
    live = ReleaseParts({}, {}, {})
    monkeypatch.setattr(comparison, "weights_of", lambda *_: live)
    monkeypatch.setattr(comparison, "labelled_days", labelled)
    for name in ("offline_release", "served_release"):
        monkeypatch.setattr(comparison, name, lambda *_: Shows())

    made, _ = make(None, rules=GateRules(older_age_days=5), day=THROUGH)

    assert {one.span for one in made.comparisons} == {NEWEST, OLDER, DATA}
    for table in ("items", "item_features", "item_promotions", "item_text_embeddings"):
        assert reads[table] == 1


def test_without_a_live_release_there_is_nothing_to_start_from(tmp_path):
    with pytest.raises(MissingRelease, match="materialize promoted_release"):
        live_release(Releases(Store(tmp_path.as_uri())))
