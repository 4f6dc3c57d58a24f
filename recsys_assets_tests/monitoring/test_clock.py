from recsys_assets.monitoring.clock import close_day, closed_days
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
