from recsys_assets.storage import Store
from replay.record import DayRecord, read_days, write_day


def record(day):
    return DayRecord(day, 1, 2, 3, 0, 0, 0, 4.0, 5.0, 6.0)


def test_days_are_read_back_in_order(tmp_path):
    store = Store(tmp_path.as_uri())
    for day in ("2017-10-02", "2017-10-01"):
        write_day(store, record(day))

    assert read_days(store) == [record("2017-10-01"), record("2017-10-02")]


def test_before_the_first_day_there_is_none(tmp_path):
    assert read_days(Store(tmp_path.as_uri())) == []
