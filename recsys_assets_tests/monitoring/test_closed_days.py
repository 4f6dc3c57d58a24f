from datetime import UTC, date, datetime

import pytest

from recsys_assets.monitoring.closed_days import close_day, closed_days, days_over
from recsys_assets.storage import Store


def test_closed_days_are_in_order_however_they_were_closed(tmp_path):
    store = Store(tmp_path.as_uri())
    for day in ("2017-10-02", "2017-10-01", "2017-10-02"):
        close_day(store, day)

    assert closed_days(store) == ["2017-10-01", "2017-10-02"]


def test_no_day_is_closed_at_first(tmp_path):
    assert closed_days(Store(tmp_path.as_uri())) == []


def test_what_a_killed_close_left_behind_is_no_day(tmp_path):
    store = Store(tmp_path.as_uri())
    close_day(store, "2017-10-01")
    (tmp_path / "closed_days/.2017-10-02.part").touch()

    assert closed_days(store) == ["2017-10-01"]


@pytest.mark.parametrize(
    ("hour", "minute", "over"),
    [
        pytest.param(0, 59, ["2024-05-01", "2024-05-02"], id="files of yesterday are not due"),
        pytest.param(1, 0, ["2024-05-01", "2024-05-02", "2024-05-03"], id="files are due"),
    ],
)
def test_a_live_day_is_over_an_hour_after_its_end(hour, minute, over):
    assert days_over(date(2024, 5, 1), datetime(2024, 5, 4, hour, minute, tzinfo=UTC)) == over


def test_no_live_day_is_over_before_the_first():
    assert days_over(date(2024, 5, 4), datetime(2024, 5, 4, 12, tzinfo=UTC)) == []
