import numpy as np
import pytest

from recsys_assets.evaluation.rolling_report import as_markdown, measure, summarise
from recsys_assets.slates import PADDING
from recsys_assets_tests.evaluation.tiny import random_split


def slates(split, first_right):
    """The first relevant item of each request on the first place, or nothing."""
    relevant = split.requests.relevant
    shown = np.full((len(split.requests), 300), PADDING, dtype=np.int32)
    if first_right:
        shown[:, 0] = relevant.indices[relevant.indptr[:-1]]
    return shown


def weeks(count=2):
    split = random_split(0)
    good, none = slates(split, True), slates(split, False)
    return [
        measure(f"week {number}", split, {"pipeline": good, "worse": none, "same": good})
        for number in range(count)
    ]


def test_methods_are_measured_and_held_against_the_best_peer():
    figures = summarise(weeks(), "pipeline")

    assert figures["weeks"] == ["week 0", "week 1"]
    assert figures["requests"] == 2 * figures["customers"]
    assert figures["best_peer"] == "same"
    assert figures["methods"]["worse"]["ndcg_at_10"] == {"mean": 0, "low": 0, "high": 0}
    against = figures["against_best_peer"]["ndcg_at_10"]
    assert against["ratio"] == pytest.approx(1)
    assert against["difference"] == {"mean": 0, "low": 0, "high": 0}


def test_a_customers_weeks_are_one_draw():
    """Twice the same weeks are no more evidence: the interval stays as wide."""
    one, two = (
        summarise(weeks(count), "pipeline")["methods"]["pipeline"]["recall_at_10"]
        for count in (1, 4)
    )

    assert two["high"] - two["low"] == pytest.approx(one["high"] - one["low"])


def test_coverage_is_of_what_was_sold_lately():
    figures = summarise(weeks(), "pipeline")

    assert figures["methods"]["worse"]["coverage_at_10"]["mean"] == 0
    assert 0 < figures["methods"]["pipeline"]["coverage_at_10"]["mean"] <= 1


def test_segments_have_their_own_figures_and_best_peer():
    figures = summarise(weeks(), "pipeline")

    unseen = figures["segments"]["unseen_users"]
    assert unseen["requests"] == 4  # two customers without history, two weeks
    assert unseen["best_peer"] == "same"


def test_the_page_shows_every_method_and_the_difference_to_the_best():
    page = as_markdown(summarise(weeks(), "pipeline"), "pipeline")

    for line in ("| worse | 0.0000 (0.0000 to 0.0000)", "| NDCG@10 | same | 1.00 | +0.0000"):
        assert line in page


def test_where_no_other_method_finds_anything_there_is_no_ratio():
    split = random_split(0)
    week = measure("w", split, {"pipeline": slates(split, True), "none": slates(split, False)})

    figures = summarise([week], "pipeline")

    assert figures["against_best_peer"]["ndcg_at_10"]["ratio"] is None
    assert "| NDCG@10 | none |  | +" in as_markdown(figures, "pipeline")
