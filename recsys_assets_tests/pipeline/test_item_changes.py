"""States of items and their changelog in a real store, one Valkey and a cluster."""

from datetime import UTC, datetime, timedelta

import pytest

from recsys_assets.pipeline import item_changes
from recsys_assets.pipeline.item_changes import (
    CHANGES,
    ITEMS,
    START,
    ItemChanges,
    ItemState,
    UnreadableState,
    as_number,
)

pytestmark = pytest.mark.integration

SOLD_OUT, BACK = {"available": False}, {"available": True}
MOST = 100
ODD = ["1007", "te/a", "Öl ☃", "a\0b", '"{}']


@pytest.fixture
def changes(store):
    return ItemChanges(store)


def put(changes, *item_ids, change=SOLD_OUT, most=MOST):
    return changes.put(dict.fromkeys(item_ids, change), most)


def test_a_change_is_in_the_state_and_in_the_changelog(changes):
    before = datetime.now(UTC) - timedelta(minutes=1)
    assert put(changes, *ODD)

    assert dict(changes.states()) == dict.fromkeys(ODD, ItemState(available=False))
    (entry,) = changes.after(START)
    assert entry.states == dict(changes.states())
    assert (entry.after, entry.place) == (START, changes.last())
    for item_id in ODD:
        known = changes.state_of(item_id)
        assert known.state == ItemState(available=False)
        assert before < known.since < before + timedelta(minutes=2)
    assert changes.count() == len(ODD)


def test_an_item_nobody_told_of_is_as_released(changes):
    assert changes.state_of("tea").as_json() == {
        "available": True,
        "withdrawn": False,
        "since": None,
    }
    assert (changes.last(), changes.after(START), changes.count()) == (START, [], 0)


def test_fields_that_are_not_given_stay_as_they_are(changes):
    put(changes, "tea")
    put(changes, "tea", change={"withdrawn": True})
    assert changes.state_of("tea").state == ItemState(available=False, withdrawn=True)
    put(changes, "tea", change=BACK)
    assert changes.state_of("tea").state == ItemState(withdrawn=True)
    assert not changes.state_of("tea").state.is_on_sale


def test_an_item_that_is_as_released_again_takes_no_room(changes):
    put(changes, "tea", "soap")
    put(changes, "tea", change=BACK)
    assert changes.count() == 1
    _, entry = changes.after(START)
    assert entry.states == {"tea": ItemState()}


def test_what_changes_nothing_is_no_entry_and_since_stays(changes):
    put(changes, "tea")
    since = changes.state_of("tea").since
    put(changes, "tea")
    put(changes, "soap", change=BACK)
    assert len(changes.after(START)) == 1
    assert changes.state_of("tea").since == since


def test_each_entry_names_the_one_before(changes):
    for item_id in ODD:
        put(changes, item_id)
    entries = changes.after(START)
    assert [entry.after for entry in entries] == [START, *(one.place for one in entries[:-1])]
    assert changes.after(entries[1].place) == entries[2:]


def test_states_are_bounded_and_a_call_beyond_changes_nothing(changes):
    assert put(changes, "tea", "soap", most=2)
    assert not put(changes, "tea", "milk", change={"withdrawn": True}, most=2)
    assert dict(changes.states()) == dict.fromkeys(["tea", "soap"], ItemState(available=False))
    assert len(changes.after(START)) == 1
    # What is there can still be changed, and what goes makes room.
    assert put(changes, "tea", change={"withdrawn": True}, most=2)
    assert changes.put({"tea": {"available": True, "withdrawn": False}, "milk": SOLD_OUT}, 2)
    assert dict(changes.states()).keys() == {"soap", "milk"}


def test_the_changelog_is_cut_and_the_states_are_not(changes, monkeypatch):
    monkeypatch.setattr(item_changes, "_KEPT", 10)
    for number in range(300):
        put(changes, f"item {number}", most=1000)
    entries = changes.after(START)
    assert entries[0].after != START
    assert changes.count() == 300


def test_many_states_are_read_in_pages(changes):
    item_ids = {f"item {number}" for number in range(3000)}
    put(changes, *item_ids, most=5000)
    assert dict(changes.states()).keys() == item_ids


def test_fields_of_a_later_version_are_passed_over(changes, store):
    store.hset(ITEMS, "tea", '1764580000000 {"available":false,"price":3.5}')
    assert changes.state_of("tea").state == ItemState(available=False)
    put(changes, "tea", change={"withdrawn": True})
    assert b'"price":3.5' in store.hget(ITEMS, "tea")


@pytest.mark.parametrize("value", ["", "sold out", "x {}", "1 []", '1 {"available'])
def test_what_is_no_state_is_named(changes, store, value):
    store.hset(ITEMS, "tea", value)
    with pytest.raises(UnreadableState, match="recsys:items b'tea' holds"):
        changes.state_of("tea")


@pytest.mark.parametrize(
    "entry", [{"by": "hand"}, {"after": START, "states": "[]"}, {"after": START, "states": "{"}]
)
def test_what_is_no_entry_is_named(changes, store, entry):
    store.xadd(CHANGES, entry)
    with pytest.raises(UnreadableState, match="changes b'"):
        changes.after(START)


def test_places_are_in_the_order_of_numbers():
    assert as_number("999-10") < as_number("1000-2") < as_number("1000-10")
