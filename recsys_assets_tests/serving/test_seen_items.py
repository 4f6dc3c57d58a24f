"""Filters of seen items as days come in; how a request uses them is tested in the pipeline."""

import pytest
import redis

from recsys_assets.serving.seen_items import MIN_CAPACITY, SeenItems

pytestmark = pytest.mark.integration


@pytest.fixture
def filters(valkey_url):
    with redis.Redis.from_url(valkey_url) as client:
        yield SeenItems(client)


def seen(filters, user, *items):
    (found,) = filters.seen([user], [items])
    return [item for item, is_seen in zip(items, found, strict=True) if is_seen]


def test_a_days_purchases_join_those_before(filters):
    filters.replace_all({"ann": ["milk"]})
    filters.add({"ann": ["tea"]})

    assert seen(filters, "ann", "milk", "tea", "soap") == ["milk", "tea"]


def test_a_new_user_gets_a_filter(filters):
    filters.add({"bob": ["tea"]})

    assert seen(filters, "bob", "tea", "milk") == ["tea"]
    assert seen(filters, "ann", "tea") == []


def test_adding_a_day_again_changes_nothing(filters, valkey_url):
    for _ in range(2):
        filters.add({"ann": ["milk", "tea"]})

    with redis.Redis.from_url(valkey_url) as client:
        assert client.execute_command("BF.CARD", "seen:{ann}") == 2


def test_more_users_than_a_round_trip_holds_are_all_there(filters):
    users = [f"user-{n}" for n in range(450)]
    filters.add({user: [f"of-{user}"] for user in users})

    found = filters.seen(users, [[f"of-{user}"] for user in users])
    assert all(of_user.all() for of_user in found)


def test_a_filter_that_outgrows_its_capacity_forgets_nothing(filters):
    for part in range(3):
        items = [f"item-{part}-{n}" for n in range(MIN_CAPACITY)]
        filters.add({"ann": items})
    bought = [f"item-{part}-{n}" for part in range(3) for n in range(MIN_CAPACITY)]
    others = [f"other-{n}" for n in range(1000)]

    assert seen(filters, "ann", *bought) == bought
    assert len(seen(filters, "ann", *others)) <= 50


def test_nobody_bought_anything(filters):
    filters.add({})
