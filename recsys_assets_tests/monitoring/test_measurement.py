"""Every day alike is quiet; what differs is beyond its bound; too little says nothing."""

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import polars as pl
import pytest

from recsys_assets.monitoring.drift import judge
from recsys_assets.monitoring.measurement import Households, measure_frames
from recsys_assets.monitoring.profile import Profile, Usual
from recsys_assets.monitoring.thresholds import DRIFTED, OK, TOO_FEW, DriftThresholds
from recsys_assets_tests.monitoring.market import KNOWN, day_of, traffic
from replay.shocks import all_shocks

LIMITS = DriftThresholds()
REFERENCE = traffic(*range(28))


@pytest.fixture(scope="module")
def profile() -> Profile:
    return Profile.fit(REFERENCE, KNOWN)


def test_days_like_the_reference_are_quiet(profile):
    states = [judge(profile, traffic(number), LIMITS).state for number in range(30, 40)]
    assert states == [OK] * 10


def test_the_same_day_measures_the_same(profile):
    assert measure_frames(profile, traffic(30), LIMITS) == measure_frames(
        profile, traffic(30), LIMITS
    )


@pytest.mark.parametrize("name", list(all_shocks(REFERENCE)))
def test_each_shock_is_found_on_its_first_day_with_its_cause_on_top(profile, name):
    shock = all_shocks(REFERENCE)[name]
    judged = judge(profile, shock.change(traffic(30)), LIMITS)
    assert judged.state == DRIFTED
    assert shock.is_named_by(judged.alerts[0].group, judged.alerts[0].name), judged.alerts[:3]


def test_too_few_sessions_are_not_judged(profile):
    day = traffic(30)
    few = replace(day, requests=day.requests.head(LIMITS.min_sessions - 1))
    judged = judge(profile, few, LIMITS)
    assert (judged.state, judged.alerts, judged.measurements) == (TOO_FEW, [], [])


def test_scores_that_moved_are_beyond_their_bound(profile):
    day = traffic(30)
    higher = pl.col("candidate_scores").list.eval(pl.element().sqrt())
    moved = replace(day, scores=day.scores.with_columns(higher))
    found = {m.name: m for m in measure_frames(profile, moved, LIMITS)}
    assert found["scores"].statistic == "kl"
    assert found["scores"].alerts


def test_scores_of_a_release_with_too_few_days_are_not_judged():
    young = replace(REFERENCE, scores=REFERENCE.scores.filter(pl.col("day") < day_of(2)))
    found = measure_frames(Profile.fit(young, KNOWN), traffic(30), LIMITS)
    assert "scores" not in {m.name for m in found}


def test_an_auc_below_the_floor_alerts_without_any_earlier_day():
    first = replace(REFERENCE, labels=REFERENCE.labels.clear())
    judged = judge(Profile.fit(first, KNOWN), traffic(30, auc=0.4), LIMITS)
    assert judged.alerts[0].cause == "concept: auc_floor"


def test_twice_the_purchases_per_predicted_one_is_a_lost_calibration(profile):
    day = traffic(30)
    more = replace(day, labels=day.labels.with_columns(pl.col("observed") * 3))
    found = {m.name: m for m in measure_frames(profile, more, LIMITS)}
    assert found["calibration"].alerts
    assert found["calibration"].value == pytest.approx(np.log(3), abs=0.3)


def test_unknown_users_are_counted_but_anonymous_ones_are_not(profile):
    day = traffic(30)
    half = pl.when(pl.int_range(pl.len()) % 2 == 0)
    strangers = half.then(pl.lit("stranger ") + pl.col("user_id")).otherwise("user_id")
    anonymous = half.then(pl.lit("")).otherwise("user_id")
    shares = []
    for users in (strangers, anonymous):
        changed = replace(day, requests=day.requests.with_columns(user_id=users))
        found = {m.name: m.value for m in measure_frames(profile, changed, LIMITS)}
        shares.append(found["unknown_users"])
    assert shares == [pytest.approx(0.5), 0.0]


def test_a_weekday_is_compared_with_its_own_kind_where_there_are_enough(profile):
    monday = profile.like(day_of(28), LIMITS)
    assert monday.tolist() == [0, 7, 14, 21]
    strict = replace(LIMITS, min_weekday_days=5)
    assert len(profile.like(day_of(28), strict)) == 28


def test_popularity_and_usual_price_of_a_reference_day_do_not_know_that_day():
    day = day_of(0)
    lines = pl.DataFrame(
        {
            "item_id": ["a", "a", "a", "b"],
            "day": [day, day_of(1), day_of(1), day],
            "price": [9.0, 2.0, 4.0, 5.0],
        }
    )
    usual = Usual.fit(lines)
    own = usual.columns(lines)
    np.testing.assert_array_equal(own["popularity"], [2, 1, 1, np.nan])
    np.testing.assert_array_equal(own["usual_price"], [3, 9, 9, np.nan])
    later = usual.columns(pl.DataFrame({"item_id": ["a"], "day": [day_of(5)]}))
    assert (later["popularity"][0], later["usual_price"][0]) == (3, 5)


def test_households_are_drawn_with_all_their_rows():
    users = pl.Series(["u", "u", "v", "", ""])
    drawn = Households.draw(users, 50, np.random.default_rng(0))
    assert len(drawn) == 4
    total, draws = drawn.counts(np.array([0, 0, 1, 2, 2]), 3)
    assert total.tolist() == [2, 1, 2]
    assert (draws[:, 0] % 2 == 0).all()


def test_a_day_without_purchases_is_judged_by_its_requests(profile):
    day = traffic(30)
    found = measure_frames(profile, replace(day, purchases=day.purchases.clear()), LIMITS)
    assert {m.name for m in found} >= {"device", "age", "unknown_users", "auc"}
    assert "price_ratio" not in {m.name for m in found}


def with_purchases(day, **changes):
    return replace(day, purchases=day.purchases.with_columns(**changes))


@pytest.mark.parametrize(("usual", "now"), [(0.0, 0.5), (0.5, 0.0)])
def test_what_was_constant_in_all_of_the_reference_drifts_as_anything_else(usual, now):
    reference = with_purchases(REFERENCE, discount=usual * pl.col("price"))
    profile = Profile.fit(reference, KNOWN)
    same, other = (
        judge(profile, with_purchases(traffic(30), discount=share * pl.col("price")), LIMITS)
        for share in (usual, now)
    )
    assert same.state == OK
    assert (other.state, other.alerts[0].name) == (DRIFTED, "discount_share")


def test_a_weekday_on_which_nothing_used_to_be_bought_is_held_against_all_days():
    closed = day_of(28).weekday()
    open_days = pl.col("day").dt.weekday() - 1 != closed
    profile = Profile.fit(
        replace(REFERENCE, purchases=REFERENCE.purchases.filter(open_days)), KNOWN
    )
    assert judge(profile, traffic(28), LIMITS).state == OK
    dear = with_purchases(traffic(28), price=pl.col("price") * 2)
    assert judge(profile, dear, LIMITS).alerts[0].name == "price_ratio"


def test_the_hour_is_that_of_the_shops_clocks():
    berlin = replace(KNOWN, time_zone="Europe/Berlin")
    profile = Profile.fit(REFERENCE, berlin)
    assert traffic(30).requests["timestamp"].max() < datetime(2025, 4, 3, tzinfo=UTC)
    # From 30 March on clocks are an hour ahead: people come by these.
    by_clock = replace(
        traffic(30),
        requests=traffic(30).requests.with_columns(pl.col("timestamp").dt.offset_by("-1h")),
    )
    hours = [
        next(m.value for m in measure_frames(of, by_clock, LIMITS) if m.name == "hour")
        for of in (profile, Profile.fit(REFERENCE, KNOWN))
    ]
    assert hours[0] < 0.05 < hours[1]


def test_days_without_a_rated_session_are_no_days_to_compare_an_auc_with():
    unrated = REFERENCE.labels.with_columns(auc=pl.lit(None, pl.Float64))
    profile = Profile.fit(replace(REFERENCE, labels=unrated), KNOWN)
    measured = {m.name: m for m in measure_frames(profile, traffic(30), LIMITS)}
    assert "auc_floor" in measured
    assert "auc" not in measured


def test_households_whose_names_end_in_nul_are_others():
    users = pl.Series(["a", "a\0", "x" * 512])
    assert len(Households.draw(users, 1, np.random.default_rng(0))) == 3


def test_a_reference_in_which_nothing_was_bought_judges_requests_alone():
    profile = Profile.fit(replace(REFERENCE, purchases=REFERENCE.purchases.clear()), KNOWN)
    judged = judge(profile, traffic(30), LIMITS)
    assert judged.state == OK
    assert {"device", "age"} <= {m.name for m in judged.measurements}
    assert "price_ratio" not in {m.name for m in judged.measurements}
