"""One store or a cluster of them: the same commands, wherever a key lies."""

import pytest
import redis
from redis.crc import key_slot

from recsys_assets.storage.online_store import STORE_ERRORS, LazyCluster, is_cluster, open_store
from recsys_assets.storage.resp import Packed, bulk, exchange
from recsys_assets_tests.conftest import free_port
from recsys_assets_tests.valkey_cluster import valkey_cluster
from recsys_assets_tests.waiting import LIMIT, until

KEYS = [f"user:{number}" for number in range(40)]


def get(key, times=1):
    return Packed(key.encode(), (b"*2\r\n$3\r\nGET\r\n" + bulk(key.encode())) * times)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    with valkey_cluster(tmp_path_factory.mktemp("cluster")) as running:
        yield running


@pytest.fixture
def client(cluster):
    with open_store(cluster.url, socket_timeout=LIMIT, socket_connect_timeout=LIMIT) as client:
        for key in KEYS:
            client.set(key, key)
        yield client


def test_the_scheme_says_whether_it_is_a_cluster():
    assert is_cluster("rediss+cluster://shop.example:6379/0")
    assert not is_cluster("rediss://shop.example:6379/0")
    assert not isinstance(open_store("redis://127.0.0.1:1/0"), LazyCluster)


def test_opening_a_cluster_that_is_away_fails_only_when_it_is_used():
    client = open_store(f"redis+cluster://127.0.0.1:{free_port()}/0", socket_timeout=0.2)
    for _ in range(2):
        with pytest.raises(redis.ConnectionError):
            exchange(client, [get("a")], 1)


@pytest.mark.integration
def test_when_a_primary_dies_its_replica_answers_and_none_left_raises_errors_of_the_store(tmp_path):
    with valkey_cluster(tmp_path) as cluster:
        client, impatient = (
            open_store(cluster.url, socket_timeout=seconds, socket_connect_timeout=seconds)
            for seconds in (LIMIT, 0.5)
        )
        impatient.set("a", "a")
        keys = [key for key in KEYS if cluster.node_of(key_slot(key.encode())) == cluster.nodes[0]]
        for key in keys:
            client.set(key, key)
        exchange(client, map(get, keys), len(keys))
        cluster.nodes[0].stop()

        def replies():
            try:
                return exchange(client, map(get, keys), len(keys))
            except redis.RedisError:
                return None

        assert until(replies, "the replica to answer") == [key.encode() for key in keys]
    for _ in range(2):
        with pytest.raises(STORE_ERRORS):
            impatient.get("a")
        with pytest.raises(STORE_ERRORS):
            impatient.pipeline(transaction=False).get("a").execute()


@pytest.mark.integration
def test_keys_of_all_nodes_are_read_in_one_call_and_in_their_order(cluster, client):
    owners = {cluster.node_of(key_slot(key.encode())) for key in KEYS}
    assert len(owners) == 3

    assert exchange(client, map(get, KEYS), len(KEYS)) == [key.encode() for key in KEYS]


@pytest.mark.integration
def test_an_element_may_hold_several_commands(client):
    replies = exchange(client, [get(key, times=2) for key in KEYS], 2 * len(KEYS))

    assert replies == [key.encode() for key in KEYS for _ in range(2)]


@pytest.mark.integration
def test_nothing_asked_is_nothing_answered(client):
    assert exchange(client, [], 0) == []


@pytest.mark.integration
def test_a_refused_command_leaves_no_reply_behind(client):
    wrong = Packed(b"user:0", b"*2\r\n$4\r\nLLEN\r\n" + bulk(b"user:0"))

    with pytest.raises(redis.ResponseError, match="WRONGTYPE"):
        exchange(client, [wrong, *map(get, KEYS)], len(KEYS) + 1)

    assert exchange(client, map(get, KEYS), len(KEYS)) == [key.encode() for key in KEYS]


def unused_key(cluster, node):
    """A key that no test has, in a slot the node had at first."""
    keys = (f"new:{number}" for number in range(1000))
    return next(key for key in keys if cluster.node_of(key_slot(key.encode())) == node)


@pytest.mark.integration
def test_after_a_slot_has_moved_one_call_fails_and_the_next_knows_where(cluster, client):
    key = unused_key(cluster, cluster.nodes[1])
    assert exchange(client, [get(key)], 1) == [None]
    cluster.move(key_slot(key.encode()), cluster.nodes[2])

    with pytest.raises(redis.exceptions.MovedError):
        exchange(client, [get(key)], 1)

    assert exchange(client, [get(key)], 1) == [None]


@pytest.mark.integration
def test_even_where_the_node_that_tells_the_slots_has_not_heard_of_it(cluster, client):
    key = unused_key(cluster, cluster.nodes[2])
    assert exchange(client, [get(key)], 1) == [None]
    with cluster.nodes[0].deaf():
        cluster.move(key_slot(key.encode()), cluster.nodes[1])

        with pytest.raises(redis.exceptions.MovedError):
            exchange(client, [get(key)], 1)

        assert exchange(client, [get(key)], 1) == [None]
