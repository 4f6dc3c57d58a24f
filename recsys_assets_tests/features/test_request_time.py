import numpy as np

from recsys_assets.features.request_time import age_days, context, recency_days

MONDAY = 1_483_315_200  # 2017-01-02 00:00 UTC


def test_days_since_the_last_event():
    found = recency_days(np.array([86_400 * 3, 86_400]), np.array([86_400.0, np.nan]))

    assert found[0] == 2
    assert np.isnan(found[1])


def test_one_moment_serves_all_items():
    assert age_days(np.array([86_400 * 10]), np.array([0.0, 86_400.0])).tolist() == [10, 9]


def test_monday_midnight_is_angle_zero():
    found = context(np.array([MONDAY]))

    assert np.allclose([found[name][0] for name in ("hour_sin", "weekday_sin")], 0)
    assert np.allclose([found[name][0] for name in ("hour_cos", "weekday_cos")], 1)


def test_six_in_the_evening_of_a_thursday():
    found = context(np.array([MONDAY + 3 * 86_400 + 18 * 3_600]))

    assert np.isclose(found["hour_sin"][0], -1)
    assert np.isclose(found["weekday_sin"][0], np.sin(2 * np.pi * 3 / 7))


def test_times_before_1970_have_a_weekday_too():
    week = 7 * 86_400

    assert np.isclose(context(np.array([MONDAY - 3_000 * week]))["weekday_cos"][0], 1)
