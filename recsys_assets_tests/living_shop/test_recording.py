from datetime import date

from recsys_assets.events.sources import ParquetSource
from recsys_assets_tests.shop import write_shop
from tools.living_shop.recording import Recording


def recorded(folder, households=None):
    write_shop(folder, users=30, items=40, days=5)
    source = ParquetSource(folder.as_uri(), date(2025, 1, 1), date(2025, 1, 5))
    return Recording.of(source, households)


def test_all_households_are_read_in_the_order_of_time(tmp_path):
    found = recorded(tmp_path)

    assert found.events["timestamp"].is_sorted()
    assert found.events["timestamp"].dt.date().n_unique() == 5
    assert set(found.items["item_id"]) == set(found.events["item_id"])


def test_some_households_are_drawn_with_what_they_bought(tmp_path):
    found = recorded(tmp_path, households=5)

    assert found.events["user_id"].n_unique() == 5
    assert set(found.users["user_id"]) == set(found.events["user_id"])
    assert set(found.items["item_id"]) == set(found.events["item_id"])


def test_a_day_holds_its_own_events(tmp_path):
    found = recorded(tmp_path).on(date(2025, 1, 3))

    assert set(found["timestamp"].dt.date()) == {date(2025, 1, 3)}
