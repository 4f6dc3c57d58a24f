from collections import Counter
from itertools import product

import polars as pl
import pytest

from recsys_assets.events.sources import ParquetSource
from recsys_assets_tests.living_shop.recorded import PLAN, day, recording, sale
from tools.living_shop.deliveries import Deliveries

USERS = [f"user-{number}" for number in range(200)]
RECORDED = recording(
    *(sale(day(at), user=user) for at, user in product(range(-10, 5), USERS)),
    sale(day(3), "new"),
)


@pytest.fixture
def deliveries(tmp_path):
    return Deliveries(RECORDED, PLAN, tmp_path)


@pytest.fixture
def lived(deliveries):
    """All that is delivered until the night after the last day."""
    deliveries.deliver_history()
    deliveries.deliver_night(PLAN.release_evening)
    for at in PLAN.lived:
        deliveries.deliver_evening(at)
        deliveries.deliver_night(at)
    return deliveries


def source(deliveries):
    return ParquetSource(deliveries.folder.as_uri(), PLAN.history_from, None)


def sold(deliveries, *days):
    return source(deliveries).interactions(days).filter(pl.col("timestamp").dt.date().is_in(days))


def test_history_ends_before_the_evening_of_the_first_release(deliveries):
    deliveries.deliver_history()

    folders = {path.name for path in (deliveries.folder / "interactions").iterdir()}
    assert f"day={day(-2)}" in folders
    assert f"day={PLAN.release_evening}" not in folders


def test_what_is_sold_arrives_in_time_or_up_to_three_days_late(lived):
    rows = sold(lived, day(-6))
    delays = Counter((one - day(-6)).days for one in rows["delivered_day"])

    assert set(delays) == {0, 1, 2, 3}
    assert delays[0] > 0.7 * len(USERS)
    assert rows.height == len(USERS)


def test_visits_come_whole(lived):
    rows = sold(lived, day(-6)).group_by("session_id").agg(pl.col("delivered_day").n_unique())

    assert set(rows["delivered_day"]) == {1}


def test_late_rows_are_those_that_came_after_the_first_release(lived):
    nights = {PLAN.release_evening, *PLAN.lived}
    rows = source(lived).interactions([day(at) for at in range(-10, 4)])
    late = rows.filter(pl.col("timestamp").dt.date() < pl.col("delivered_day"))

    assert lived.late_rows() == late["delivered_day"].is_in(list(nights)).sum() > 0


def test_a_closed_weekday_has_no_file_and_an_empty_day_one_without_rows(lived):
    closed, empty = (
        lived.folder / f"interactions/day={at}/sales.parquet"
        for at in (PLAN.release_evening, PLAN.empty_day)
    )

    assert not closed.exists()
    assert pl.read_parquet(empty).is_empty()
    assert sold(lived, PLAN.release_evening, PLAN.empty_day).is_empty()
    assert len(lived.traffic(PLAN.empty_day).sessions) == 0


def test_a_wrong_file_is_put_right_on_the_day_of_the_correction(deliveries):
    deliveries.deliver_history()
    for at in PLAN.lived[:2]:
        deliveries.deliver_night(at)
    wrong = sold(deliveries, PLAN.corrected_day)
    deliveries.deliver_night(PLAN.correction_day)
    right = sold(deliveries, PLAN.corrected_day)

    assert wrong["price"].max() == 200.0
    assert set(right["price"]) == {2.0}
    assert wrong.height < right.height


def test_the_catalogue_of_an_evening_holds_what_is_sold_tomorrow(deliveries):
    deliveries.deliver_evening(day(1))
    before = set(source(deliveries).items()["item_id"].to_pylist())
    deliveries.deliver_evening(day(2))

    assert set(source(deliveries).items()["item_id"].to_pylist()) - before == {"new"}
    assert deliveries.new_items() == {"new"}


def test_withdrawn_are_those_that_the_last_catalogue_lacks(tmp_path):
    gone = Deliveries(recording(sale(day(-56), "gone"), sale(day(0))), PLAN, tmp_path)

    assert gone.withdrawn_items() == {"gone"}
    assert set(gone.final_catalogue()["item_id"]) == {"gone", "tea"}


def test_users_are_known_once_they_have_come(tmp_path):
    recorded = recording(sale(day(-3), user="anna"), sale(day(2), user="ben"))
    deliveries = Deliveries(recorded, PLAN, tmp_path)

    deliveries.deliver_evening(day(1))
    assert source(deliveries).users()["user_id"].to_pylist() == ["anna"]
    deliveries.deliver_evening(day(2))
    assert source(deliveries).users()["user_id"].to_pylist() == ["anna", "ben"]


def test_traffic_is_a_request_for_each_visit(deliveries):
    traffic = deliveries.traffic(day(0))

    requests = list(traffic.requests())
    assert [request.user_id for request in requests] == USERS
    assert len({request.request_id for request in requests}) == len(USERS)


def test_delivering_again_changes_nothing(lived):
    before = {path: path.read_bytes() for path in lived.folder.rglob("*.parquet")}
    lived.deliver_evening(PLAN.lived[-1])
    lived.deliver_night(PLAN.lived[-1])

    assert {path: path.read_bytes() for path in lived.folder.rglob("*.parquet")} == before
