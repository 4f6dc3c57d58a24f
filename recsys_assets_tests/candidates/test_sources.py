import numpy as np
import pytest

from recsys_assets.candidates import sources as by_source
from recsys_assets.candidates.declarations import BOUGHT_BEFORE, SOURCES, CandidateSource
from recsys_assets.candidates.ease import Ease
from recsys_assets_tests.candidates.tiny import ITEMS, row, sources

AL, BO, CY, STRANGER = 0, 1, 2, -1
DAIRY = (
    *((user, item, 40, "s1") for user in ("al", "bo", "cy") for item in ("milk", "oat milk")),
    *(("bo", "soy milk", day, "s2") for day in (41, 42, 43)),
    ("bo", "pear", 10, "s2"),
)


@pytest.fixture(autouse=True)
def few_buyers(monkeypatch):
    """Three customers are enough to say what is bought together."""
    fit = Ease.fit
    monkeypatch.setattr(Ease, "fit", lambda history, *_: fit(history, 1.0, 1))


def of(source, user, day=45, lines=DAIRY, **kwargs):
    scores = source(sources(day, *lines, **kwargs), np.array([user], dtype=np.int32))
    catalogue = np.arange(len(ITEMS))
    return dict(zip(ITEMS, scores.at(np.zeros_like(catalogue), catalogue).tolist(), strict=True))


def shown(source, user, **kwargs):
    return {name for name, score in of(source, user, **kwargs).items() if score > -np.inf}


def test_neighbours_are_bought_together_with_what_she_has_bought():
    scores = of(by_source.neighbours, AL)

    assert scores["soy milk"] > 0
    assert scores["apple"] == -np.inf  # nobody has bought it


def test_recent_neighbours_weigh_the_newest_lines_most():
    lines = (
        ("al", "milk", 1),
        ("al", "pear", 40),
        ("bo", "milk", 1),
        ("bo", "oat milk", 1),
        ("cy", "pear", 1),
        ("cy", "apple", 1),
    )
    profile = sources(45, *lines).recency_profiles.toarray()[AL]

    assert profile[row("pear")] == 1
    assert profile[row("milk")] == pytest.approx(1 / np.sqrt(2))
    scores = of(by_source.recent_neighbours, AL, lines=lines)
    assert scores["apple"] > scores["oat milk"]


def test_season_neighbours_know_only_the_last_three_months():
    old = (*DAIRY, ("al", "apple", 1), ("bo", "apple", 1))

    assert of(by_source.neighbours, CY, day=200, lines=old)["apple"] > -np.inf
    assert "apple" not in shown(by_source.season_neighbours, CY, day=110, lines=old)


def test_like_minded_customers_say_what_they_bought_lately_and_not_she_herself():
    scores = of(by_source.like_minded, AL)

    assert scores["soy milk"] > 0
    assert scores["pear"] == -np.inf  # longer ago than four weeks
    assert of(by_source.like_minded, BO)["soy milk"] == -np.inf  # bought by her alone


def test_best_sellers_are_those_of_her_store_and_for_a_stranger_those_of_all():
    assert of(by_source.store_best_sellers, BO)["soy milk"] == 3
    assert "soy milk" not in shown(by_source.store_best_sellers, AL)
    assert of(by_source.store_best_sellers, STRANGER)["soy milk"] == 3


def test_promoted_and_new_items_are_ordered_by_the_kinds_that_she_buys():
    promoted = of(by_source.promoted, AL, promoted=("soy milk", "apple"))

    assert {name for name, score in promoted.items() if score > -np.inf} == {"soy milk", "apple"}
    assert promoted["soy milk"] > promoted["apple"]
    assert shown(by_source.new_arrivals, AL) == {"milk", "oat milk", "soy milk"}


def test_what_she_buys_herself_counts_by_how_often_and_how_lately():
    scores = of(by_source.bought_before, BO)

    assert scores["soy milk"] > scores["milk"] > scores["pear"] > 0
    assert scores["apple"] == -np.inf


@pytest.mark.parametrize("source", [*SOURCES, BOUGHT_BEFORE], ids=lambda source: source.name)
@pytest.mark.parametrize("lines", [DAIRY, ()], ids=["a shop", "its first day"])
def test_every_source_scores_every_customer_and_stranger(source, lines):
    known = sources(45, *lines)
    users = np.array([AL, STRANGER] if lines else [STRANGER], dtype=np.int32)

    scores = source.score(known, users)

    assert len(scores.values) == len(users)
    assert scores.values.dtype == np.float32
    assert not np.isnan(scores.values).any()


@pytest.mark.parametrize("source", [*SOURCES, BOUGHT_BEFORE], ids=lambda source: source.name)
def test_no_source_makes_room_for_items_that_it_does_not_know(source):
    known = sources(45, *DAIRY, promoted=("milk",))

    scores = source.score(known, np.array([AL, BO], dtype=np.int32))

    assert row("never sold") not in scores.items
    assert (scores.values > -np.inf).any(axis=0).all()


@pytest.mark.parametrize("source", [*SOURCES, BOUGHT_BEFORE], ids=lambda source: source.name)
def test_scores_do_not_depend_on_who_else_asks_and_are_nobody_elses_array(source):
    known = sources(45, *DAIRY, promoted=("milk", "pear"))
    everything = np.arange(len(ITEMS))

    alone = source.score(known, np.array([BO], dtype=np.int32))
    together = source.score(known, np.array([STRANGER, AL, BO], dtype=np.int32))
    hers = alone.at(np.zeros_like(everything), everything)

    np.testing.assert_allclose(together.at(np.full_like(everything, 2), everything), hers, 1e-5)
    together.values[:] = 0
    again = source.score(known, np.array([BO], dtype=np.int32))
    np.testing.assert_array_equal(again.at(np.zeros_like(everything), everything), hers)


def test_names_are_told_apart_and_a_quota_is_not_negative():
    assert len({source.name for source in SOURCES}) == len(SOURCES)
    with pytest.raises(ValueError, match="'odd' has the quota -1: give 0 or more"):
        CandidateSource("odd", -1, by_source.promoted, ranked=False, description="")
