"""What was put right offline is put right online, by Feast and Valkey over the tiny history."""

import shutil
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from unittest.mock import Mock

import numpy as np
import pyarrow as pa
import pytest

from recsys_assets.features import online
from recsys_assets.features.attributes import attribute_rows, user_columns
from recsys_assets.features.declarations import DAILY_FEATURE_SETS, ITEM_PROMOTIONS
from recsys_assets.features.feature_store import apply_repository, open_feature_store
from recsys_assets.features.online import OfflineContents, connect, materialize
from recsys_assets.features.parity import sampled_parity
from recsys_assets.features.reader import OnlineUserFeatures
from recsys_assets.settings import load_settings
from recsys_assets.settings.days import days_between
from recsys_assets.storage import Store
from recsys_assets.storage.filesystem import local_path
from recsys_assets_tests.features.tiny_history import CORRECTED_DAY, FIRST_DAY, LAST_DAY, USERS

pytestmark = pytest.mark.integration
TODAY = LAST_DAY + timedelta(days=1)
LATE_USER = "late-user"


class Shop:
    """The tiny history and its online store, complete through the last day."""

    def __init__(self, history, folder, url):
        shutil.copytree(local_path(history.url), folder / "store")
        self.store = Store((folder / "store").as_uri())
        self.url = url
        self.settings = replace(
            load_settings({"RECSYS_HOME": str(folder)}),
            storage_url=self.store.url,
            online_store_url=url,
        )
        apply_repository(self.settings)
        self.send()

    def send(self, today=TODAY):
        contents = OfflineContents.of(self.store)
        return materialize(open_feature_store(self.settings), self.url, FIRST_DAY, today, contents)

    def take(self, other):
        """Days from the corrected one on as they are in another store."""
        for features in DAILY_FEATURE_SETS:
            for day in days_between(CORRECTED_DAY, LAST_DAY):
                rows = other.table(features.name).read([day])
                self.store.table(features.name).write(rows, day)

    def online(self, user):
        with connect(self.url) as client:
            columns = OnlineUserFeatures(client, user_columns(self.store)).read([user])
        return {name: values[0] for name, values in columns.items()}

    def parity(self, moment):
        with connect(self.url) as client:
            reader = OnlineUserFeatures(client, user_columns(self.store))
            feature_store = open_feature_store(self.settings)
            return sampled_parity(feature_store, reader, self.store, moment, 1_000)


@pytest.fixture
def shop(history, tmp_path, valkey_url):
    return Shop(history, tmp_path, valkey_url)


def assert_equal(shop, sent):
    parity = shop.parity(sent.end)
    assert parity.compared > 0
    assert parity.different == 0, parity.examples


def test_a_day_put_right_replaces_what_was_sent_of_it(shop, corrected_history):
    shop.take(corrected_history)

    assert_equal(shop, shop.send())

    assert shop.online(LATE_USER)["events_28d"] == 0  # known, though not of the last days


def test_an_old_day_sent_again_rolls_nothing_back(shop, corrected_history):
    shop.take(corrected_history)

    sent = shop.send(CORRECTED_DAY + timedelta(days=1))

    assert_equal(shop, sent)
    assert sent.end.date() == TODAY


def test_another_writer_of_older_values_rolls_nothing_back(shop):
    before = shop.online(USERS[0])
    views = [features.name for features in DAILY_FEATURE_SETS]

    start, end = (datetime.combine(day, time(), UTC) for day in (FIRST_DAY, CORRECTED_DAY))
    open_feature_store(shop.settings).materialize(start, end, feature_views=views)

    assert shop.online(USERS[0]) == before


def test_what_turned_out_not_to_be_is_gone(shop, history, corrected_history):
    shop.take(corrected_history)
    shop.send()
    shop.take(history)

    assert_equal(shop, shop.send())

    assert np.isnan(shop.online(LATE_USER)["events_28d"])


def test_what_turned_out_not_to_be_is_gone_although_the_run_was_killed(
    shop, history, corrected_history, monkeypatch
):
    shop.take(corrected_history)
    shop.send()
    shop.take(history)
    with monkeypatch.context() as killed, pytest.raises(KeyboardInterrupt):
        killed.setattr(online, "drop_rows", Mock(side_effect=KeyboardInterrupt))
        shop.send()

    assert_equal(shop, shop.send())

    assert np.isnan(shop.online(LATE_USER)["events_28d"])


def test_changed_attributes_replace_those_of_the_same_moment(shop):
    users = pa.table(
        {"user_id": [USERS[0], USERS[2]], "age": ["26-35", "65+"], "income": ["low"] * 2}
    )
    shop.store.table("users").write(users)
    attributes = attribute_rows("users", users, FIRST_DAY)
    shop.store.table("user_attributes").write(attributes)

    assert_equal(shop, shop.send())

    assert shop.online(USERS[0])["age"] == "26-35"
    assert shop.online("nobody")["income"] == ""  # no longer among the users


def test_a_changed_plan_replaces_values_of_the_same_moments(shop):
    table = shop.store.table(ITEM_PROMOTIONS.name)
    plan = table.read()
    column = plan.column_names.index("display")
    table.write(plan.set_column(column, "display", pa.array([0.25] * len(plan))))

    assert_equal(shop, shop.send())
