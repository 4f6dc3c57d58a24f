"""Where history ends and the evaluation begins, on recordings and on live data."""

from datetime import UTC, date, datetime, timedelta

import pytest

from recsys_assets.settings import Days, InvalidSetting, load_settings
from recsys_assets.settings.days import day_before, midnight

FIRST, TODAY = date(2024, 1, 1), date(2024, 8, 3)
SHOP = {
    "RECSYS_SOURCE": "parquet",
    "RECSYS_SOURCE_URL": "/shop",
    "RECSYS_FIRST_DAY": FIRST.isoformat(),
}


class Clock(datetime):
    """Stands still in the last minute of 2024-08-03, UTC."""

    @classmethod
    def now(cls, tz=None):
        return datetime(2024, 8, 3, 23, 59, tzinfo=UTC).astimezone(tz)


@pytest.fixture(autouse=True)
def clock(monkeypatch):
    monkeypatch.setattr("recsys_assets.settings.datetime", Clock)


def test_a_recording_is_measured_on_the_days_from_today_on():
    days = Days(FIRST, last_day=TODAY + timedelta(days=6), today=TODAY, evaluation_days=7)

    assert (days.history_through, days.train_through) == (date(2024, 8, 2), date(2024, 8, 2))
    assert (days.evaluation_from, days.evaluation_through) == (TODAY, date(2024, 8, 9))
    assert days.needed_through == date(2024, 8, 9)


@pytest.mark.parametrize("last_day", [None, TODAY + timedelta(days=5), TODAY - timedelta(days=1)])
def test_days_that_have_not_been_recorded_are_not_measured_but_the_last_of_history(last_day):
    days = Days(FIRST, last_day, TODAY, evaluation_days=7)

    assert days.history_through == days.evaluation_through == days.needed_through
    assert days.history_through == date(2024, 8, 2)
    assert (days.train_through, days.evaluation_from) == (date(2024, 7, 26), date(2024, 7, 27))


def test_a_history_that_is_too_short_names_the_setting_its_value_and_when_it_is_long_enough():
    days = Days(FIRST, None, FIRST + timedelta(days=10), evaluation_days=7)

    with pytest.raises(InvalidSetting) as refused:
        days.require_training_days(8)

    assert "RECSYS_EVALUATION_DAYS='7'" in str(refused.value)
    assert "leaves 3 days to train on, and 8 are needed" in str(refused.value)
    assert "begin on 2024-01-16" in str(refused.value)
    Days(FIRST, None, date(2024, 1, 16), evaluation_days=7).require_training_days(8)


def test_today_of_live_data_is_the_day_that_is_not_over():
    settings = load_settings(SHOP)

    assert (settings.today, settings.last_day) == (TODAY, None)
    assert settings.today_follows_clock
    assert settings.needed_through == date(2024, 8, 2)


def test_today_of_a_recording_that_has_ended_is_the_day_after():
    settings = load_settings(SHOP | {"RECSYS_LAST_DAY": "2024-03-31"})

    assert settings.today == date(2024, 4, 1)
    assert not settings.today_follows_clock


def test_a_day_that_is_set_stays():
    assert not load_settings(SHOP | {"RECSYS_TODAY": "2024-05-01"}).today_follows_clock
    assert not load_settings({}).today_follows_clock


@pytest.mark.parametrize(
    ("variable", "value", "remedy"),
    [
        ("RECSYS_TODAY", "2024-08-04", "up to 2024-08-03"),
        ("RECSYS_TODAY", "2024-01-01", "after the first, 2024-01-01"),
        ("RECSYS_LAST_DAY", "2024-08-03", "2024-08-03 is not over: leave it unset"),
        ("RECSYS_SKIP_DAYS", "2023-12-31", "event days are 2024-01-01 to now"),
        ("RECSYS_SKIP_DAYS", "yesterday", "YYYY-MM-DD"),
    ],
)
def test_days_that_have_not_happened_or_are_outside_are_refused(variable, value, remedy):
    with pytest.raises(InvalidSetting, match=f"{variable}='{value}'.*{remedy}"):
        load_settings(SHOP | {variable: value})


def test_today_is_not_after_what_was_recorded():
    with pytest.raises(InvalidSetting, match=r"RECSYS_TODAY='2024-04-02'.*up to 2024-04-01"):
        load_settings(SHOP | {"RECSYS_LAST_DAY": "2024-03-31", "RECSYS_TODAY": "2024-04-02"})


def test_days_to_skip_are_read_once_each_and_in_order():
    given = {"RECSYS_SKIP_DAYS": "2024-05-09, 2024-05-02,2024-05-09"}

    assert load_settings(SHOP | given).skipped_days == (date(2024, 5, 2), date(2024, 5, 9))
    assert load_settings(SHOP).skipped_days == ()


def test_the_day_before_the_first_of_a_month():
    assert day_before("2025-03-01") == "2025-02-28"


@pytest.mark.parametrize("day", ["2025-03-30", date(2025, 3, 30)])
def test_an_event_day_begins_at_midnight_utc(day):
    assert midnight(day) == datetime(2025, 3, 30, tzinfo=UTC)
