from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest

from recsys_assets.candidates.boosted_ranker import BoostedRanker
from recsys_assets.candidates.union import UnitedCandidates
from recsys_assets.evaluation.baselines import popularity
from recsys_assets.evaluation.rolling import PIPELINE, discounted, ranked_slates
from recsys_assets.evaluation.split import NothingToEvaluate
from recsys_assets.models.index.index_kinds import RANKED
from recsys_assets.slates import PADDING, slate_faults
from recsys_assets_tests.evaluation.tiny_weeks import (
    FIRST,
    ITEMS,
    WEEK,
    events,
    few_buyers,  # noqa: F401
    rolling,
    shop,
    table,
)

pytestmark = pytest.mark.usefixtures("few_buyers")


def test_the_pipeline_and_its_peers_answer_the_same_requests_by_the_same_rules():
    weeks = rolling()

    slates = weeks.slates(WEEK, {"popularity": popularity})

    split = weeks.split(WEEK)
    assert list(slates) == [PIPELINE, "popularity"]
    for shown in slates.values():
        assert shown.shape == (len(split.requests), 300)
        assert not any(slate_faults(shown, split.requests.seen).values())


def test_with_repeats_what_she_has_bought_may_be_shown_and_is_relevant():
    weeks = rolling(repeats=True)

    slates = weeks.slates(WEEK, {"popularity": popularity})

    split = weeks.split(WEEK)
    again = split.requests.seen.multiply(split.requests.relevant)
    assert again.nnz > 0
    assert split.excluded.nnz == 0
    assert list(slates) == [PIPELINE, "popularity", "bought_before"]
    for shown in slates.values():
        assert slate_faults(shown, split.requests.seen)["seen_items"] > 0


def test_the_ranker_learns_from_the_weeks_before_and_a_week_is_made_once(monkeypatch):
    weeks = rolling()
    made = []
    split = weeks.split
    monkeypatch.setattr(weeks, "split", lambda day: made.append(day) or split(day))

    weeks.slates(WEEK, {})
    weeks.slates(WEEK + timedelta(weeks=1), {})

    assert made == [WEEK + timedelta(weeks=number) for number in range(-4, 2)]


def test_every_candidate_of_a_week_has_a_probability_in_the_order_of_its_score():
    weeks = rolling()

    predictions = weeks.predictions(WEEK)

    week = weeks.week(WEEK)
    scores = weeks.ranker(WEEK).score(week.examples.inputs)
    assert len(predictions.probability) == len(week.candidates.item)
    assert (np.diff(predictions.probability[np.argsort(scores)]) >= 0).all()
    assert ((predictions.probability > 0) & (predictions.probability < 1)).all()
    np.testing.assert_array_equal(predictions.bought, week.examples.bought)


def test_slates_and_predictions_are_of_one_ranker(monkeypatch):
    weeks = rolling()
    fitted = []
    fit = BoostedRanker.fit
    monkeypatch.setattr(BoostedRanker, "fit", lambda *a: fitted.append(a) or fit(*a))

    weeks.predictions(WEEK)
    weeks.slates(WEEK, {})

    assert len(fitted) == 1


def test_departments_are_the_widest_categories():
    assert shop(events()).departments[[0, 5, 39]].tolist() == ["c0", "c1", "c7"]


def test_candidates_and_inputs_of_a_week_know_nothing_of_it_or_of_later_days():
    everything = events()
    moments = np.array(everything["timestamp"].to_pylist())
    start = datetime(WEEK.year, WEEK.month, WEEK.day, tzinfo=UTC)
    past = everything.filter(pa.array(moments < start))
    asked = rolling(everything).split(WEEK).requests
    others = table(
        [
            (user, ITEMS[39 - number % 40], start + timedelta(hours=9))
            for user in asked.user_id.tolist()
            for number in range(40)
        ]
    )

    one = rolling(everything).week(WEEK)
    other = rolling(pa.concat_tables([past, others])).week(WEEK)

    both = np.isin(other.split.requests.user_id, one.split.requests.user_id)
    assert both.all()
    np.testing.assert_array_equal(one.candidates.item, other.candidates.item)
    np.testing.assert_array_equal(one.examples.inputs, other.examples.inputs)
    assert one.examples.bought.sum() != other.examples.bought.sum()


def test_a_week_without_purchases_says_so():
    with pytest.raises(NothingToEvaluate, match="nothing to measure"):
        rolling().week(FIRST + timedelta(weeks=30))


def test_a_bestseller_is_discounted_among_the_first_and_not_behind_them():
    items = 2 * RANKED
    candidates = UnitedCandidates(
        np.array([0, items]), np.arange(items), np.ones(items), np.zeros((items, 0))
    )
    scores, popularity = -0.01 * np.arange(items), np.zeros(items)
    popularity[[0, RANKED]] = 1_000

    shown = ranked_slates(candidates, discounted(candidates, scores, popularity))[0]

    assert shown[:2].tolist() == [1, 2]
    assert 50 < shown.tolist().index(0) < RANKED
    assert shown[RANKED:items].tolist() == list(range(RANKED, items))


def test_candidates_are_shown_by_score_and_short_lists_are_padded():
    candidates = UnitedCandidates(
        np.array([0, 3, 3, 4]), np.array([5, 6, 7, 8]), np.ones(4), np.zeros((4, 0))
    )

    shown = ranked_slates(candidates, np.array([1.0, 3.0, 2.0, 0.0]))

    assert shown[0, :4].tolist() == [6, 7, 5, PADDING]
    assert (shown[1] == PADDING).all()
    assert shown[2, :2].tolist() == [8, PADDING]
