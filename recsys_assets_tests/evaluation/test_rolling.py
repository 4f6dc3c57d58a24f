from datetime import UTC, date, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest

from recsys_assets.candidates.boosted_ranker import Boosting
from recsys_assets.candidates.declarations import BOUGHT_BEFORE, SOURCES
from recsys_assets.candidates.ease import Ease
from recsys_assets.candidates.union import UnitedCandidates
from recsys_assets.evaluation.baselines import popularity
from recsys_assets.evaluation.rolling import PIPELINE, RollingWeeks, Shop, ranked_slates
from recsys_assets.evaluation.split import NothingToEvaluate
from recsys_assets.models.item_history import Changes
from recsys_assets.slates import PADDING, slate_faults

FIRST = date(2025, 1, 6)
WEEK = FIRST + timedelta(weeks=8)
ITEMS = [f"i{number}" for number in range(40)]
NO_PLAN = Changes(np.zeros(0, np.int64), {"display": np.zeros(0), "mailer": np.zeros(0)})


@pytest.fixture(autouse=True)
def few_buyers(monkeypatch):
    """Thirty customers are enough to say what is bought together."""
    fit = Ease.fit
    monkeypatch.setattr(Ease, "fit", lambda history, *_: fit(history, 5.0, 2))


def events(weeks=10, users=30, seed=0):
    """Each customer buys five items a week, mostly of her half of the catalogue."""
    random = np.random.default_rng(seed)
    rows = []
    for day in range(0, weeks * 7, 7):
        for user in range(users):
            half = np.arange(20) + 20 * (user % 2)
            for item in random.choice(half, 5, replace=False):
                moment = datetime(FIRST.year, FIRST.month, FIRST.day, 9, tzinfo=UTC)
                moment += timedelta(days=day + int(random.integers(7)))
                rows.append((f"u{user:02}", ITEMS[item], moment))
    return table(rows)


def table(rows):
    user, item, moment = zip(*rows, strict=True)
    count = len(rows)
    return pa.table(
        {
            "user_id": pa.array(user, pa.string()),
            "item_id": pa.array(item, pa.string()),
            "timestamp": pa.array(moment, pa.timestamp("us", tz="UTC")),
            "event": ["purchase"] * count,
            "device": pa.nulls(count, pa.string()),
            "price": pa.array(np.ones(count)),
            "discount": pa.nulls(count, pa.float64()),
            "store_id": pa.array(["s"] * count),
        }
    )


def shop(interactions):
    items = pa.table({"item_id": ITEMS, "category_l1": [f"c{n // 5}" for n in range(40)]})
    return Shop.from_tables(interactions, items, ["category_l1"], NO_PLAN)


def rolling(interactions=None, repeats=False):
    boosting = Boosting(trees=10, min_leaf_examples=5, negatives=1.0)
    known = shop(events() if interactions is None else interactions)
    declared = (*SOURCES, BOUGHT_BEFORE) if repeats else SOURCES
    return RollingWeeks(known, declared, repeats, boosting, ranker_weeks=4)


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


def test_candidates_are_shown_by_score_and_short_lists_are_padded():
    candidates = UnitedCandidates(
        np.array([0, 3, 3, 4]), np.array([5, 6, 7, 8]), np.ones(4), np.zeros((4, 0))
    )

    shown = ranked_slates(candidates, np.array([1.0, 3.0, 2.0, 0.0]))

    assert shown[0, :4].tolist() == [6, 7, 5, PADDING]
    assert (shown[1] == PADDING).all()
    assert shown[2, :2].tolist() == [8, PADDING]
