from datetime import UTC, date, datetime, timedelta

import polars as pl
import pytest

from recsys_assets.events.contract import BrokenInput
from recsys_assets.events.sources import Diginetica
from recsys_assets.events.validation import validate

MAY_9 = date(2016, 5, 9)
NOW = datetime(2020, 1, 1, tzinfo=UTC)
FILES = {
    "train-item-views.csv": "sessionId;userId;itemId;timeframe;eventdate\n"
    "1;NA;9654;75848;2016-05-09\n1;NA;31331;1031018;2016-05-09\n1;NA;81766;526309;2016-05-09\n"
    "2;18278;9654;5000;2016-05-10\n",
    "train-purchases.csv": "sessionId;userId;timeframe;eventdate;ordernumber;itemId\n"
    "1;7;1040000;2016-05-09;16421;81766\n1;7;1721689387;2016-05-29;17000;31331\n",
    "products.csv": "itemId;pricelog2;product.name.tokens\n"
    "9654;10;4875,776,56689\n31331;0;\n81766;8.5;776\n",
    "product-categories.csv": "itemId;categoryId\n9654;1096\n31331;12\n",
}


@pytest.fixture
def folder(tmp_path):
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    return tmp_path


def read(folder, *days):
    return Diginetica(folder).interactions(days)


def quarantined(folder, first, days):
    """What is quarantined of some days: reasons by day."""
    source = Diginetica(folder)
    wanted = [first + timedelta(days=day) for day in range(days)]
    items = pl.DataFrame(source.items())["item_id"]
    found = validate(source.interactions(wanted), wanted, items, NOW).quarantined
    return dict(found.select("day", "reason").iter_rows())


def test_who_has_an_account_is_its_user_and_others_visitors_of_their_session(folder):
    rows = read(folder, MAY_9, date(2016, 5, 10)).sort("timestamp")

    visitor = "session-1"
    assert rows["user_id"].to_list() == [visitor, visitor, visitor, "7", "18278"]
    assert rows["event"].to_list() == ["view", "view", "view", "purchase", "view"]
    assert rows["source_file"][3] == "train-purchases.csv"


def test_what_a_session_does_on_a_day_begins_at_midnight_and_keeps_order_and_gaps(folder):
    rows = read(folder, MAY_9).sort("timestamp")

    assert rows["item_id"].to_list() == ["9654", "81766", "31331", "81766"]
    midnight = datetime(2016, 5, 9, tzinfo=UTC)
    passed = [(moment - midnight) / timedelta(milliseconds=1) for moment in rows["timestamp"]]
    assert passed == [0, 450_461, 955_170, 964_152]


def test_a_purchase_weeks_after_the_session_began_is_of_the_day_that_it_names(folder):
    rows = read(folder, date(2016, 5, 29))

    assert rows["timestamp"].to_list() == [datetime(2016, 5, 29, tzinfo=UTC)]
    assert rows["session_id"].to_list() == ["1"]


def test_a_product_has_a_price_a_category_and_the_words_of_its_name(folder):
    no_price, no_category, tea = sorted(
        Diginetica(folder).items().to_pylist(), key=lambda item: item["price"] or 0
    )

    assert (tea["item_id"], tea["price"], tea["text"]) == ("9654", 1024.0, "4875 776 56689")
    assert (tea["category_l1"], tea["category_l2"], tea["category_l3"]) == ("1096", "1096", None)
    assert (no_price["price"], no_price["text"]) == (None, "")
    assert no_category["category_l1"] is None
    assert no_category["price"] == pytest.approx(362.04, abs=0.01)


def test_users_are_those_with_an_account(folder):
    source = Diginetica(folder)

    assert source.users().to_pylist() == [
        {"user_id": "18278", "account": "yes"},
        {"user_id": "7", "account": "yes"},
    ]
    assert source.user_attributes == ("account",)


def test_nothing_is_promoted(folder):
    assert Diginetica(folder).promotions().num_rows == 0


def test_no_good_line_is_quarantined(folder):
    assert quarantined(folder, MAY_9, 21) == {}


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("1;NA;9654;soon;2016-05-09", "missing_timestamp"),
        ("1;NA;9654;-5;2016-05-09", "missing_timestamp"),
        ("1;NA;9654;86475848;2016-05-09", "missing_timestamp"),
        ("NA;NA;9654;10;2016-05-09", "missing_user_id"),
        ("1;NA;tea;99999;2016-05-09", "unknown_item"),
        ("1;NA;NA;99999;2016-05-09", "missing_item_id"),
    ],
)
def test_a_bad_line_is_quarantined_on_its_day_and_harms_no_other(folder, line, reason):
    with (folder / "train-item-views.csv").open("a") as lines:
        lines.write(f"{line}\n")

    assert quarantined(folder, MAY_9, 1) == {MAY_9: reason}


@pytest.mark.parametrize(
    ("eventdate", "reason"),
    [
        ("2016-02-30", "missing_timestamp"),
        ("NA", "missing_timestamp"),
        ("2015-12-31", "too_late"),
        ("2061-05-09", "in_the_future"),
    ],
)
def test_a_line_of_a_day_that_cannot_be_is_quarantined_in_the_first_week(folder, eventdate, reason):
    with (folder / "train-purchases.csv").open("a") as lines:
        lines.write(f"9;NA;10;{eventdate};1;9654\n")

    assert quarantined(folder, date(2016, 1, 1), 7) == {date(2016, 1, 4): reason}


@pytest.mark.parametrize("file", FILES)
def test_a_file_that_is_missing_is_named(folder, file):
    (folder / file).unlink()
    source = Diginetica(folder)
    asked = source.items if "product" in file else lambda: source.interactions([MAY_9])

    with pytest.raises(BrokenInput, match=f"{file}: there is no such file.*RECSYS_SOURCE_URL"):
        asked()


def test_a_column_that_is_missing_is_named(folder):
    (folder / "products.csv").write_text("itemId;price;product.name.tokens\n1;2;3\n")

    with pytest.raises(BrokenInput, match=r"products\.csv, column 'pricelog2'.*missing"):
        Diginetica(folder).items()
