"""Which days the online store lacks: their purchases go into the filters of seen items."""

from datetime import UTC, date, datetime

import pyarrow as pa
import pytest

from recsys_assets.features import feature_store, parity
from recsys_assets.features.attributes import ATTRIBUTE_TABLES
from recsys_assets.features.declarations import ITEM_PROMOTIONS
from recsys_assets.features.online import MARKER, connect
from recsys_assets.features.online_refresh import known_through, refresh, unsent_days
from recsys_assets.settings import load_settings
from recsys_assets.storage import Store

DAYS = ["2017-10-01", "2017-10-02", "2017-10-03", "2017-10-04"]

pytestmark = pytest.mark.integration


@pytest.fixture
def store(tmp_path):
    store = Store(tmp_path.as_uri())
    for day in DAYS:
        store.table("interactions").write(pa.table({"user_id": ["ann"]}), day)
    return store


@pytest.fixture
def complete_through(valkey_url):
    with connect(valkey_url) as client:
        client.delete(MARKER)
        yield lambda moment: client.set(MARKER, f"{moment}T00:00:00+00:00")
        client.delete(MARKER)


def test_a_day_is_sent_with_those_before_it_that_were_missed(store, valkey_url, complete_through):
    complete_through(DAYS[1])  # it holds all of 1 October
    assert unsent_days(store, valkey_url, [DAYS[2]]) == DAYS[1:3]


@pytest.mark.usefixtures("complete_through")
def test_an_emptied_store_is_sent_all_of_history(store, valkey_url):
    assert unsent_days(store, valkey_url, [DAYS[2]]) == DAYS[:3]


def test_a_day_that_the_store_has_passed_is_sent_alone(store, valkey_url, complete_through):
    complete_through(DAYS[3])
    assert unsent_days(store, valkey_url, [DAYS[1]]) == [DAYS[1]]


@pytest.mark.parametrize(
    ("moment", "through"),
    [("2017-10-05", "2017-10-04"), ("2017-10-02", "2017-10-02"), ("2017-09-01", "2017-10-02")],
)
def test_filters_made_anew_hold_what_was_bought_since(
    valkey_url, complete_through, moment, through
):
    complete_through(moment)
    assert known_through(valkey_url, "2017-10-02") == through


@pytest.mark.usefixtures("complete_through")
def test_filters_of_an_emptied_store_hold_what_history_does(valkey_url):
    assert known_through(valkey_url, "2017-10-02") == "2017-10-02"


def test_a_day_that_the_store_has_passed_is_compared_all_the_same(
    store, valkey_url, complete_through, monkeypatch
):
    compared = []
    monkeypatch.setattr(feature_store, "open_feature_store", lambda settings: Feast())
    monkeypatch.setattr(parity, "sampled_parity", lambda *given: compared.append(given[3]))
    for name in (*ATTRIBUTE_TABLES, ITEM_PROMOTIONS.name, "users"):
        store.table(name).write(pa.table({"user_id": ["ann"]}))
    complete_through("2017-10-05")
    settings = load_settings({"RECSYS_ONLINE_STORE_URL": valkey_url})

    sent = refresh(settings, store, date(2017, 10, 3))

    assert [sent.as_of] == compared == [datetime(2017, 10, 5, tzinfo=UTC)]


class Feast:
    def materialize(self, start, end, feature_views):
        pass
