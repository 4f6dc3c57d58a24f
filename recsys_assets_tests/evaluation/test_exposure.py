from dataclasses import replace

import numpy as np
import pytest

from recsys_assets import metrics
from recsys_assets.evaluation.exposure import exposure_figures, shown_week
from recsys_assets.slates import PADDING
from recsys_assets_tests.evaluation.tiny import random_split

SPLIT = random_split(0)
KINDS = {"kind": np.arange(20) % 4 + 1, "maker": np.arange(20) % 3}


def slates(seed):
    """Ten of the twenty items for each request."""
    random = np.random.default_rng(seed)
    return np.stack([random.permutation(20)[:10] for _ in range(len(SPLIT.requests))])


def shown(methods, split=SPLIT, attributes=KINDS):
    return shown_week(split, methods, attributes)


def test_means_are_those_of_the_metrics():
    methods = {"one": slates(0), "other": slates(1)}

    figures = exposure_figures([shown(methods)])

    codes = np.stack([*KINDS.values()], axis=1)
    for name, of_method in methods.items():
        novelty = metrics.novelty(of_method, SPLIT.purchases, 10).mean()
        alike = metrics.shared_attributes(of_method, codes)
        diversity = metrics.intra_list_diversity(of_method, alike).mean()
        assert figures[name]["novelty_at_10"]["mean"] == pytest.approx(novelty)
        assert figures[name]["diversity_at_10"]["mean"] == pytest.approx(diversity)


def test_coverage_and_gini_are_of_what_was_sold_lately():
    sold = np.arange(20) < 8
    split = replace(SPLIT, purchases_recent=sold.astype(int))
    of_method = np.full((len(split.requests), 10), PADDING)
    of_method[:, 0] = 2
    of_method[0, 1] = 3
    of_method[1:, 1] = 15  # not sold lately

    figures = exposure_figures([shown({"one": of_method}, split)])["one"]

    counts = np.array([len(split.requests), 1])
    assert figures["coverage_at_10"]["mean"] == 2 / 8
    assert figures["gini_at_10"]["mean"] == pytest.approx(metrics.gini(counts, 8))


def test_limits_are_those_without_each_customer():
    """Item 3 is shown to one customer alone: without her coverage is 1 / 8."""
    split = replace(SPLIT, purchases_recent=(np.arange(20) < 8).astype(int))
    of_method = np.full((len(split.requests), 10), PADDING)
    of_method[:, 0] = 2
    of_method[0, 1] = 3

    coverage = exposure_figures([shown({"one": of_method}, split)])["one"]["coverage_at_10"]

    without = np.full(len(split.requests), 2 / 8)
    without[0] = 1 / 8
    assert coverage["high"] == pytest.approx(metrics.jackknife(2 / 8, without).high)
    assert coverage["low"] < coverage["mean"] < coverage["high"]


def test_weeks_are_counted_each_for_itself_and_a_week_without_sales_not_at_all():
    one, other = shown({"m": slates(0)}), shown({"m": slates(1)})
    nothing = shown({"m": slates(2)}, replace(SPLIT, purchases_recent=np.zeros(20, dtype=int)))

    each, both = (
        [exposure_figures(weeks)["m"]["gini_at_10"]["mean"] for weeks in of]
        for of in ([[one], [other]], [[one, other], [one, other, nothing]])
    )

    assert both == pytest.approx([np.mean(each)] * 2)


def test_a_method_that_shows_nothing_covers_nothing_and_more_is_not_known():
    empty = np.full((len(SPLIT.requests), 10), PADDING)

    figures = exposure_figures([shown({"none": empty})])["none"]

    assert figures == {"coverage_at_10": {"mean": 0, "low": 0, "high": 0}}


def test_a_catalogue_without_attributes_says_nothing_of_diversity():
    figures = exposure_figures([shown({"one": slates(0)}, attributes={})])["one"]

    assert set(figures) == {"novelty_at_10", "coverage_at_10", "gini_at_10"}
