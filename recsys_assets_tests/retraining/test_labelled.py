from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest

from recsys_assets.events.contract import INTERACTIONS
from recsys_assets.retraining.labelled import labelled_days, sample
from recsys_assets.storage import MissingPartition, Store

DAY = "2025-03-02"
NOON = datetime(2025, 3, 2, 12, tzinfo=UTC)


@pytest.fixture
def store(tmp_path):
    store = Store(tmp_path.as_uri())
    store.table("users").write(pa.table({"user_id": ["ann"], "age": ["30-39"]}))
    start = pa.array([datetime(2025, 1, 1, tzinfo=UTC)], pa.timestamp("us", "UTC"))
    attributes = {"user_id": ["ann"], "event_timestamp": start, "age": ["30-39"]}
    store.table("user_attributes").write(pa.table(attributes))
    return store


def write(store, *purchases, event="purchase"):
    """Events (user, item, hours after noon of `DAY`), in partitions from the day before on."""
    days = {(NOON + timedelta(days=n)).date().isoformat(): [] for n in range(-1, 4)}
    for user, item, hours in purchases:
        moment = NOON + timedelta(hours=hours)
        row = {"user_id": user, "item_id": item, "timestamp": moment, "event": event}
        session = {"session_id": f"{user}@{hours}", "device": "web", "quantity": 1}
        days[moment.date().isoformat()].append(row | session)
    for day, rows in days.items():
        table = pa.Table.from_pylist(rows, schema=INTERACTIONS.schema)
        store.table("interactions").write(table, day)


def labels(store, hours=24, days=(DAY,)):
    """By day, what was relevant to which user."""
    found = labelled_days(store, days, hours)
    return [list(zip(one.sessions.user_id.tolist(), one.relevant, strict=True)) for one in found]


def test_a_window_holds_both_of_its_ends(store):
    write(store, ("ann", "at once", 0), ("ann", "in time", 24), ("ann", "late", 24.001))

    assert labels(store) == [[("ann", {"at once", "in time"})]]


@pytest.mark.parametrize(("hours", "relevant"), [(1, {"a"}), (20, {"a", "b"}), (36, {"a", "b"})])
def test_a_window_may_end_at_any_hour_of_a_later_day(store, hours, relevant):
    write(store, ("ann", "a", 0), ("ann", "b", 20), ("ann", "c", 36.5))

    assert labels(store, hours) == [[("ann", relevant)]]


def test_only_first_purchases_are_relevant(store):
    write(store, ("ann", "again", -24), ("ann", "again", 0), ("ann", "new", 0))

    assert labels(store) == [[("ann", {"new"})]]


def test_what_was_bought_earlier_on_the_day_is_not_relevant_later(store):
    write(store, ("ann", "a", 0), ("ann", "a", 5), ("ann", "b", 5))

    assert labels(store) == [[("ann", {"a", "b"}), ("ann", {"b"})]]


def test_a_session_without_a_first_purchase_is_left_out(store):
    write(store, ("ann", "a", -24), ("ann", "a", 0), ("bob", "a", 0))

    assert labels(store) == [[("bob", {"a"})]]


def test_looking_is_not_buying(store):
    write(store, ("ann", "a", 0), event="view")

    assert labels(store) == [[]]


def test_each_user_buys_for_the_first_time_alone(store):
    write(store, ("bob", "a", -24), ("ann", "a", 0))

    assert labels(store) == [[("ann", {"a"})]]


def test_purchased_is_what_the_user_had_before_the_day(store):
    write(store, ("ann", "before", -13), ("ann", "on the day", -11), ("bob", "b", -13))
    (found,) = labelled_days(store, [DAY], 24)

    assert found.purchased == {"ann": {"before"}}


def test_sessions_have_the_moment_and_what_was_known(store):
    write(store, ("ann", "a", 0))
    (found,) = labelled_days(store, [DAY], 24)

    assert found.day == DAY
    assert found.sessions.timestamp.tolist() == [int(NOON.timestamp())]
    assert found.sessions.device.tolist() == ["web"]
    assert found.sessions.columns["age"].tolist() == ["30-39"]


def test_days_are_labelled_one_by_one(store):
    write(store, ("ann", "a", 0), ("ann", "b", 24))

    assert labels(store, days=[DAY, "2025-03-03"]) == [[("ann", {"a", "b"})], [("ann", {"b"})]]


def test_no_days_are_no_labels(store):
    assert labelled_days(store, [], 24) == []


def test_a_missing_day_is_named(store):
    write(store, ("ann", "a", 0))
    with pytest.raises(MissingPartition, match="2025-03-09"):
        labelled_days(store, ["2025-03-09"], 24)


class TestSample:
    @pytest.fixture
    def day(self, store):
        write(store, *[(f"user-{n}", f"item-{n}", n / 10) for n in range(50)])
        (day,) = labelled_days(store, [DAY], 24)
        return day

    def test_the_same_sessions_are_drawn_every_time(self, day):
        (one,), (same,), (other,) = (sample([day], 20, seed) for seed in (0, 0, 1))

        assert one.sessions.user_id.tolist() == same.sessions.user_id.tolist()
        assert one.sessions.user_id.tolist() != other.sessions.user_id.tolist()

    def test_sessions_are_drawn_once_in_order_and_with_their_labels(self, day):
        (drawn,) = sample([day], 20)

        assert len(drawn.sessions) == len(set(drawn.sessions.user_id)) == 20
        assert (drawn.sessions.timestamp[1:] >= drawn.sessions.timestamp[:-1]).all()
        wanted = [{user.replace("user", "item")} for user in drawn.sessions.user_id]
        assert drawn.relevant == wanted

    def test_fewer_sessions_than_asked_for_are_all_of_them(self, day):
        (drawn,) = sample([day], 200)

        assert drawn.sessions.user_id.tolist() == day.sessions.user_id.tolist()
