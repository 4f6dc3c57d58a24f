import pytest
import redis

from recsys_assets.storefront.event_intake import connect
from recsys_assets.storefront.event_stream import STREAM, EventStream, Landed

pytestmark = pytest.mark.integration
HOUR = 3600
NOW = 500_000.0 * HOUR


@pytest.fixture
def store(valkey_url):
    with redis.Redis.from_url(valkey_url) as client:
        yield client


@pytest.fixture
def stream(store):
    return EventStream(store)


def add(stream, *ids, made=True, most=100_000):
    return stream.append([(one, made, "{}") for one in ids], most)


def landed(batch):
    """Those of callers, as a landing remembers them."""
    named = [entry for entry in batch.entries if entry.is_named]
    return {entry.event_id: Landed(entry.place, "digest") for entry in named}


def ids(batch):
    return [entry.event_id for entry in batch.entries]


class TestAppend:
    def test_events_are_there_in_their_order(self, stream):
        assert add(stream, "a", "b", "c")
        assert stream.length() == 3
        assert ids(stream.take(10)) == ["a", "b", "c"]

    def test_beyond_the_limit_none_is_taken(self, stream):
        assert add(stream, "a", "b", most=3)
        assert not add(stream, "c", "d", most=3)
        assert add(stream, "c", most=3)
        assert stream.length() == 3

    def test_a_full_store_takes_none_of_them(self, store, stream):
        store.config_set("maxmemory", "1")
        try:
            with pytest.raises(redis.RedisError):
                add(stream, "a", "b")
        finally:
            store.config_set("maxmemory", "0")
        assert stream.length() == 0


class TestBatch:
    def test_nothing_there(self, stream):
        assert stream.take(10) is None

    def test_until_it_is_settled_everybody_gets_the_same(self, store, stream):
        add(stream, *"abcde")
        first = stream.take(3)
        add(stream, "f")
        assert ids(first) == ["a", "b", "c"]
        assert stream.take(10) == first
        assert EventStream(store).take(1) == first

    def test_the_next_begins_where_the_last_was_settled(self, stream):
        add(stream, *"abcde")
        first = stream.take(3)
        assert stream.settle(first)
        assert stream.length() == 2
        second = stream.take(10)
        assert ids(second) == ["d", "e"]
        assert first.name != second.name

    def test_only_the_first_to_settle_does(self, stream):
        add(stream, *"abc")
        batch = stream.take(2)
        assert stream.settle(batch)
        assert not stream.settle(batch)
        assert ids(stream.take(2)) == ["c"]

    def test_who_read_before_another_settled_reads_again(self, store, stream, monkeypatch):
        """Else his batch would hold what is in a file already, beside what is not."""
        add(stream, "a")
        slow = EventStream(store)
        real = slow._read

        def read_while_another_lands(*range_):
            entries = list(real(*range_))
            monkeypatch.setattr(slow, "_read", real)
            add(stream, "b")
            stream.settle(stream.take(1))
            return [*entries, *real(f"({entries[-1].place}", "+")]

        monkeypatch.setattr(slow, "_read", read_while_another_lands)
        assert ids(slow.take(10)) == ["b"]

    def test_a_large_one_is_read_in_pages(self, stream):
        names = [f"{number}" for number in range(2500)]
        add(stream, *names)
        batch = stream.take(2100)
        assert ids(batch) == names[:2100]
        assert stream.take(1) == batch


class TestRepetitions:
    def settle(self, stream, now=NOW):
        batch = stream.take(10)
        stream.remember(landed(batch), now)
        stream.settle(batch)
        return landed(batch)

    def again(self, stream, now):
        add(stream, "a", "new", made=False)
        return stream.landed_before(stream.take(10), now)

    @pytest.mark.parametrize("later", [0, HOUR - 1, HOUR])
    def test_a_caller_s_id_is_known_for_an_hour_or_two(self, stream, later):
        add(stream, "a", made=False)
        first = self.settle(stream)
        assert self.again(stream, NOW + later) == first

    def test_then_it_is_left_to_the_ingest(self, stream):
        add(stream, "a", made=False)
        self.settle(stream)
        assert self.again(stream, NOW + 2 * HOUR) == {}

    def test_an_id_made_here_cannot_come_again_and_is_not_remembered(self, store, stream):
        add(stream, "a", made=True)
        self.settle(stream)
        assert store.keys("*landed*") == []

    def test_a_batch_that_is_written_again_has_landed_where_it_is(self, stream):
        add(stream, "a", made=False)
        batch = stream.take(10)
        stream.remember(landed(batch), NOW)
        assert stream.landed_before(batch, NOW) == landed(batch)

    def test_what_is_remembered_is_forgotten(self, store, stream):
        add(stream, "a", made=False)
        self.settle(stream)
        (key,) = store.keys("*landed*")
        assert 0 < store.ttl(key) <= 2 * HOUR


def test_everything_lies_in_one_slot_of_a_cluster(store, stream):
    from redis.crc import key_slot

    add(stream, "a", made=False)
    batch = stream.take(10)
    keys = store.keys()
    stream.remember(landed(batch), NOW)
    assert {key_slot(key) for key in [*keys, *store.keys()]} == {key_slot(STREAM.encode())}


def test_a_cluster_does_as_well(valkey_cluster_url):
    with connect(valkey_cluster_url) as cluster:
        cluster.delete(STREAM)
        stream = EventStream(cluster)
        assert add(stream, "a", "b", made=False)
        batch = stream.take(1)
        assert stream.take(5) == batch
        stream.remember(landed(batch), NOW)
        assert stream.settle(batch)
        add(stream, "a", made=False)
        again = stream.take(5)
        assert ids(again) == ["b", "a"]
        assert stream.landed_before(again, NOW) == landed(batch)
        assert stream.settle(again)
