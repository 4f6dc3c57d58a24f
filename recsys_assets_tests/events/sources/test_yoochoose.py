from datetime import UTC, date, datetime, timedelta

import polars as pl
import pytest

from recsys_assets.events.contract import BrokenInput
from recsys_assets.events.ingest import ingest
from recsys_assets.events.sources import YooChoose
from recsys_assets.events.validation import validate
from recsys_assets.storage import Store

APRIL_7 = date(2014, 4, 7)
NOW = datetime(2020, 1, 1, tzinfo=UTC)
CLICKS = """\
1,2014-04-07T10:51:09.277Z,214536502,0
1,2014-04-07T10:54:09Z,214536500,S
1,2014-04-07T23:59:59.999Z,214536500,3
2,2014-04-08T00:00:00.000Z,214536500,3
2,2014-04-08T00:00:01.000Z,214536500,12
2,2014-04-08T00:00:02.000Z,214536502,2089046365
2,2014-04-08T00:00:03.000Z,214536502,13
"""
BUYS = """\
1,2014-04-07T11:00:00.5Z,214536500,1046,2
2,2014-04-08T12:00:00.000Z,214700000,0,0
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "yoochoose-clicks.dat").write_text(CLICKS)
    (tmp_path / "yoochoose-buys.dat").write_text(BUYS)
    return tmp_path


def add(folder, line, file="yoochoose-clicks.dat"):
    with (folder / file).open("a") as lines:
        lines.write(line)


def read(folder, *days):
    return YooChoose(folder).interactions(days)


def quarantined(folder):
    """What is quarantined of April's first ten days: reasons by day of the month."""
    source = YooChoose(folder)
    days = [source.first_day + timedelta(days=day) for day in range(10)]
    items = pl.DataFrame(source.items())["item_id"]
    found = validate(source.interactions(days), days, items, NOW).quarantined
    return dict(found.select(pl.col("day").dt.day(), "reason").iter_rows())


def test_a_click_is_a_view_and_a_buy_a_purchase_of_the_sessions_visitor(folder):
    rows = read(folder, APRIL_7)

    assert rows["user_id"].unique().to_list() == ["session-1"]
    assert rows["event"].to_list() == ["view", "view", "view", "purchase"]
    assert rows["timestamp"][0] == datetime(2014, 4, 7, 10, 51, 9, 277_000, tzinfo=UTC)
    bought = rows.row(3, named=True)
    assert (bought["item_id"], bought["session_id"]) == ("214536500", "1")
    assert (bought["price"], bought["quantity"]) == (1046.0, 2)
    assert bought["source_file"] == "yoochoose-buys.dat"


def test_a_day_is_one_of_utc(folder):
    assert read(folder, date(2014, 4, 8))["session_id"].unique().to_list() == ["2"]
    assert read(folder, date(2014, 4, 9)).is_empty()


def test_price_and_quantity_of_0_are_not_known(folder):
    bought = read(folder, date(2014, 4, 8)).filter(event="purchase")

    assert bought.select("price", "quantity").row(0) == (None, None)


def test_an_item_is_of_the_category_and_brand_that_most_clicks_came_from(folder):
    first, second, _ = YooChoose(folder).items().to_pylist()

    assert (first["item_id"], first["brand"]) == ("214536500", None)
    assert (first["category_l1"], first["category_l2"], first["category_l3"]) == ("3", "3", None)
    assert second["category_l1"] is None


def test_of_categories_with_as_many_clicks_the_smaller_number_counts(folder):
    add(folder, "3,2014-04-09T00:00:00.000Z,214536500,12\n")

    first, second, _ = YooChoose(folder).items().to_pylist()

    assert (first["category_l1"], second["brand"]) == ("3", "13")


def test_what_was_bought_without_a_click_is_in_the_catalogue(folder):
    ids = YooChoose(folder).items().column("item_id").to_pylist()

    assert ids == ["214536500", "214536502", "214700000"]


def test_there_are_neither_accounts_nor_promotions(folder):
    source = YooChoose(folder)

    assert source.users().num_rows == source.promotions().num_rows == 0
    assert source.users().column_names == ["user_id", *source.user_attributes]
    assert len(source.user_attributes) == 1  # Feast has no view without a feature


def test_a_day_is_ingested_whole(folder, tmp_path):
    source, store = YooChoose(folder), Store((tmp_path / "store").as_uri())

    report = ingest(source, store, [APRIL_7], pl.DataFrame(source.items())["item_id"], NOW)

    assert [(day.rows, day.quarantined, day.late) for day in report.days] == [(4, 0, 0)]
    assert store.table("interactions").read(["2014-04-07"]).num_rows == 4


@pytest.mark.parametrize(
    ("line", "day", "reason"),
    [
        ("3,2014-04-09T25:00:00.000Z,214536500,0", 9, "missing_timestamp"),
        ("3,2014-04-09T10:00:00.000+02:00,214536500,0", 9, "missing_timestamp"),
        ("3,1396437466.94,214536500,0", 4, "missing_timestamp"),
        ("3,2014-03-31T23:59:59.000Z,214536500,0", 4, "too_late"),
        ("3,2014-10-01T00:00:00.000Z,214536500,0", 4, "in_the_future"),
        ("3,2999-01-01T00:00:00.000Z,214536500,0", 4, "in_the_future"),
        (",2014-04-09T10:00:00.000Z,214536500,0", 9, "missing_user_id"),
        ("3,2014-04-09T10:00:00.000Z", 9, "missing_item_id"),
        ("3,2014-04-09T10:00:00.000Z,tea,0", 9, "unknown_item"),
    ],
)
def test_a_bad_line_is_quarantined_with_its_reason(folder, line, day, reason):
    add(folder, f"{line}\n")

    assert quarantined(folder) == {day: reason}


def test_a_negative_quantity_is_quarantined(folder):
    add(folder, "2,2014-04-08T12:00:00.000Z,214700000,5,-1\n", "yoochoose-buys.dat")

    assert quarantined(folder) == {8: "negative_quantity"}


def test_a_price_that_is_no_number_stops_the_day_that_has_it(folder):
    add(folder, "2,2014-04-08T12:00:00.000Z,214700000,free,1\n", "yoochoose-buys.dat")

    assert read(folder, APRIL_7).height == 4
    with pytest.raises(BrokenInput, match=r"buys\.dat.*'price'.*free.*RECSYS_SOURCE_URL"):
        read(folder, date(2014, 4, 8))


@pytest.mark.parametrize("file", ["yoochoose-clicks.dat", "yoochoose-buys.dat"])
def test_a_file_that_is_missing_is_named(folder, file):
    (folder / file).unlink()

    for asked in (lambda: read(folder, APRIL_7), YooChoose(folder).items):
        with pytest.raises(BrokenInput, match=f"{file}: there is no such file.*RECSYS_SOURCE_URL"):
            asked()


@pytest.mark.parametrize(
    "text",
    [
        f"SessionId,Time,ItemId,Category\n{CLICKS}",
        CLICKS.replace(",", "\t"),
        "1,1396437466.94,214536502,0\n",
        BUYS,
    ],
)
def test_a_file_of_another_form_is_not_read(folder, text):
    (folder / "yoochoose-clicks.dat").write_text(text)

    with pytest.raises(BrokenInput, match=r"clicks\.dat: its first line is .* session,time,item"):
        read(folder, APRIL_7)
