"""Bins, and distances of histograms, against computations that share no code with them."""

import math

import numpy as np
import pytest

from recsys_assets.monitoring.psi import (
    MISSING,
    OTHER,
    UNKNOWN,
    CategoryBins,
    NumberBins,
    fit_bins,
    kl,
    psi,
    shares,
    total_variation,
)


def smoothed_by_hand(counts):
    total = sum(counts) + 0.5 * len(counts)
    return [(count + 0.5) / total for count in counts]


def pairs():
    rng = np.random.default_rng(0)
    for bins in (2, 5, 23):
        for _ in range(20):
            yield rng.poisson(rng.gamma(1, 30, bins)), rng.poisson(rng.gamma(1, 3, bins))


def test_shares_add_half_a_count_to_every_bin():
    np.testing.assert_allclose(shares(np.array([0, 3])), [0.5 / 4, 3.5 / 4], rtol=0, atol=1e-15)


def test_psi_is_the_sum_of_both_divergences():
    from scipy.stats import entropy

    for expected, actual in pairs():
        p, q = smoothed_by_hand(expected), smoothed_by_hand(actual)
        assert abs(psi(expected, actual) - (entropy(q, p) + entropy(p, q))) < 1e-9


def test_psi_by_its_formula_in_plain_python():
    expected, actual = [100, 50, 0, 7], [3, 4, 5, 0]
    p, q = smoothed_by_hand(expected), smoothed_by_hand(actual)
    by_hand = sum((b - a) * math.log(b / a) for a, b in zip(p, q, strict=True))
    assert abs(psi(np.array(expected), np.array(actual)) - by_hand) < 1e-9


def test_kl_is_the_relative_entropy():
    from scipy.stats import entropy

    for expected, actual in pairs():
        independent = entropy(smoothed_by_hand(actual), smoothed_by_hand(expected))
        assert abs(kl(actual, expected) - independent) < 1e-9


def test_many_histograms_at_once_are_each_alone():
    rng = np.random.default_rng(1)
    expected, actual = rng.integers(0, 50, 6), rng.integers(0, 50, (4, 3, 6))
    together = psi(expected, actual)
    assert together.shape == (4, 3)
    assert together[2, 1] == pytest.approx(float(psi(expected, actual[2, 1])), abs=1e-12)


def test_total_variation_is_the_share_that_moved():
    moved = total_variation(np.array([1000, 0]), np.array([700, 300]))
    assert moved == pytest.approx(0.3, abs=1e-3)


def test_numbers_fall_into_quantiles_of_the_reference_and_missing_apart():
    reference = np.array([*np.arange(100.0), np.nan])
    bins = NumberBins.fit(reference, 4)
    assert bins.labels == ["<= 24", "<= 49", "<= 74", "> 74", MISSING]
    counts = np.bincount(bins.assign(reference), minlength=5)
    assert counts.tolist() == [25, 25, 25, 25, 1]
    assert bins.assign(np.array([-5.0, 24.0, 24.5, 1e9, np.nan])).tolist() == [0, 0, 1, 3, 4]


def test_repeated_numbers_make_fewer_bins():
    reference = np.array([1.0] * 70 + [2.0] * 20 + [3.0] * 10)
    bins = NumberBins.fit(reference, 5)
    assert bins.labels == ["< 1", "= 1", "<= 2", "> 2", MISSING]
    counts = np.bincount(bins.assign(reference), minlength=len(bins.labels))
    assert counts.tolist() == [0, 70, 20, 10, 0]


@pytest.mark.parametrize("value", [0.0, 9.99, -1e-300, 1e300])
def test_what_was_constant_is_told_from_less_and_from_more(value):
    bins = NumberBins.fit(np.full(1000, value), 10)
    spread = abs(value) + 1
    moved = np.array([value - spread, value, value + spread])
    assert bins.assign(moved).tolist() == [0, 1, 2]
    assert bins.labels == [f"< {value:.6g}", f"= {value:.6g}", f"> {value:.6g}", MISSING]


@pytest.mark.parametrize("sign", [1, -1])
def test_a_column_that_hardly_ever_moved_is_told_from_one_that_always_has(sign):
    reference = sign * np.array([5.0] * 97 + [4.0, 4.5, 4.9])
    bins = NumberBins.fit(reference, 10)
    usual = np.bincount(bins.assign(reference), minlength=len(bins.labels))
    for value in (4.0, 5.1, 6.0):
        moved = np.bincount(bins.assign(np.full(100, sign * value)), minlength=len(bins.labels))
        assert psi(usual, moved) > 1


def test_a_column_without_any_number_has_one_bin_beside_missing():
    bins = NumberBins.fit(np.array([np.nan, np.nan]), 10)
    assert bins.labels == ["(any)", MISSING]
    assert bins.assign(np.array([3.0, np.nan])).tolist() == [0, 1]


def test_strings_tell_frequent_other_unknown_and_missing_apart():
    reference = np.array(["a"] * 5 + ["b"] * 3 + ["c", ""], dtype=object)
    bins = CategoryBins.fit(reference, 2)
    assert bins.labels == ["a", "b", OTHER, UNKNOWN, MISSING]
    values = np.array(["b", "c", "never seen", "", "a"], dtype=object)
    assert bins.assign(values).tolist() == [1, 2, 3, 4, 0]


def test_no_rows_fall_into_no_bins():
    bins = fit_bins(np.array(["a"], dtype=object), 10, 20)
    assert bins.assign(np.array([], dtype=object)).tolist() == []


def test_strings_that_end_in_nul_are_others():
    bins = CategoryBins.fit(np.array(["a", "a", "a\0"], dtype=object), 1)
    assert bins.assign(np.array(["a", "a\0"], dtype=object)).tolist() == [0, 1]
