from datetime import datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
import pytest

from recsys_assets.features.request_time import age_days, context, local_seconds, recency_days

MONDAY = 1_483_315_200  # 2017-01-02 00:00 UTC


def test_days_since_the_last_event():
    found = recency_days(np.array([86_400 * 3, 86_400]), np.array([86_400.0, np.nan]))

    assert found[0] == 2
    assert np.isnan(found[1])


def test_one_moment_serves_all_items():
    assert age_days(np.array([86_400 * 10]), np.array([0.0, 86_400.0])).tolist() == [10, 9]


def test_monday_midnight_is_angle_zero():
    found = context(np.array([MONDAY]), "UTC")

    assert np.allclose([found[name][0] for name in ("hour_sin", "weekday_sin")], 0)
    assert np.allclose([found[name][0] for name in ("hour_cos", "weekday_cos")], 1)


def test_six_in_the_evening_of_a_thursday():
    found = context(np.array([MONDAY + 3 * 86_400 + 18 * 3_600]), "UTC")

    assert np.isclose(found["hour_sin"][0], -1)
    assert np.isclose(found["weekday_sin"][0], np.sin(2 * np.pi * 3 / 7))


def test_times_before_1970_have_a_weekday_too():
    week = 7 * 86_400

    assert np.isclose(context(np.array([MONDAY - 3_000 * week]), "UTC")["weekday_cos"][0], 1)


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/St_Johns", "Australia/Lord_Howe"])
def test_hour_and_weekday_are_those_of_the_shops_clocks_on_both_sides_of_daylight_saving(zone):
    moments = [
        datetime(2024, month, day, hour, 17, 5, tzinfo=ZoneInfo("UTC"))
        for month, day in ((1, 1), (3, 10), (3, 31), (4, 6), (7, 14), (10, 5), (10, 27), (11, 3))
        for hour in range(24)
    ]
    timestamps = np.array([int(moment.timestamp()) for moment in moments])

    clocks = local_seconds(timestamps, zone)

    shown = [datetime(1970, 1, 1) + timedelta(seconds=seconds) for seconds in clocks.tolist()]
    assert shown == [moment.astimezone(ZoneInfo(zone)).replace(tzinfo=None) for moment in moments]


def test_people_who_come_at_noon_come_at_noon_all_year():
    berlin = ZoneInfo("Europe/Berlin")
    noons = [datetime(2024, month, 1, 12, tzinfo=berlin).timestamp() for month in range(1, 13)]

    found = context(np.array(noons).astype(np.int64), "Europe/Berlin")

    assert np.allclose(found["hour_cos"], -1)


def test_late_on_sunday_in_utc_is_monday_in_tokyo():
    assert np.isclose(context(np.array([MONDAY - 3_600]), "Asia/Tokyo")["weekday_cos"][0], 1)


def test_no_requests_have_no_hours():
    assert len(context(np.empty(0, np.int64), "Europe/Berlin")["hour_sin"]) == 0


def test_an_unknown_time_zone_is_an_error():
    with pytest.raises(ZoneInfoNotFoundError, match="Mars"):
        context(np.array([MONDAY]), "Mars/Olympus")
