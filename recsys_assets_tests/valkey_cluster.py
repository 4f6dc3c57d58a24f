"""A Valkey cluster on loopback: three primaries, and a replica of the first."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import redis

from recsys_assets.runtime.processes import Address
from recsys_assets.services.valkey import Valkey
from recsys_assets_tests.conftest import free_port
from recsys_assets_tests.waiting import until

_SLOTS = 16_384
_PRIMARIES = 3
_ALL_PACKETS, _NO_PACKETS = -2, -1


@dataclass(frozen=True)
class Node(Valkey):
    """A node; `bus` is the port on which nodes speak to each other."""

    bus: int = 0

    def _command(self) -> list[str]:
        return [
            *super()._command(),
            *("--cluster-enabled", "yes", "--cluster-port", str(self.bus)),
            *("--cluster-node-timeout", "1000", "--cluster-require-full-coverage", "no"),
            *("--enable-debug-command", "local"),
        ]

    @property
    def client(self) -> redis.Redis:
        return redis.Redis(port=self.address.port, decode_responses=True)

    @contextmanager
    def deaf(self) -> Iterator[None]:
        """Meanwhile it hears nothing of what other nodes say."""
        self.client.execute_command("DEBUG DROP-CLUSTER-PACKET-FILTER", _ALL_PACKETS)
        try:
            yield
        finally:
            self.client.execute_command("DEBUG DROP-CLUSTER-PACKET-FILTER", _NO_PACKETS)


@dataclass(frozen=True)
class ValkeyCluster:
    """Its nodes; the last one is the replica of the first."""

    nodes: tuple[Node, ...]

    @property
    def url(self) -> str:
        return f"redis+cluster://127.0.0.1:{self.nodes[1].address.port}/0"

    def node_of(self, slot: int) -> Node:
        """The primary that had the slot at first."""
        return self.nodes[slot * _PRIMARIES // _SLOTS]

    def move(self, slot: int, target: Node) -> None:
        """Gives an empty slot to another primary; the other nodes hear of it by gossip.

        A target that imports the slot gets a new epoch with it, so that an older message in which
        the source still claims the slot cannot take it back.
        """
        source = self.node_of(slot)
        names = {node: node.client.execute_command("CLUSTER MYID") for node in (source, target)}
        target.client.execute_command("CLUSTER SETSLOT", slot, "IMPORTING", names[source])
        source.client.execute_command("CLUSTER SETSLOT", slot, "MIGRATING", names[target])
        for node in (target, source):
            node.client.execute_command("CLUSTER SETSLOT", slot, "NODE", names[target])

    def wait_until_whole(self) -> None:
        """Until every node that lives knows an owner of every slot."""
        until(
            lambda: all(_is_whole(node) for node in self.nodes if node.answers()),
            "the cluster to come together",
        )


def _is_whole(node: Node) -> bool:
    info = node.client.execute_command("CLUSTER INFO")
    return info["cluster_state"] == "ok" and int(info["cluster_slots_ok"]) == _SLOTS


@contextmanager
def valkey_cluster(folder: Path) -> Iterator[ValkeyCluster]:
    """Starts it, and stops it at the end."""
    nodes = tuple(
        Node(Address("127.0.0.1", free_port()), folder / str(number), bus=free_port())
        for number in range(_PRIMARIES + 1)
    )
    try:
        for node in nodes:
            node.start()
        yield _joined(ValkeyCluster(nodes))
    finally:
        for node in nodes:
            node.stop()


def _joined(cluster: ValkeyCluster) -> ValkeyCluster:
    *primaries, replica = cluster.nodes
    for node in primaries:
        slots = [slot for slot in range(_SLOTS) if cluster.node_of(slot) == node]
        node.client.execute_command("CLUSTER ADDSLOTSRANGE", slots[0], slots[-1])
    for node in cluster.nodes[1:]:
        address = cluster.nodes[0].address
        node.client.execute_command(
            "CLUSTER MEET", address.host, address.port, cluster.nodes[0].bus
        )
    cluster.wait_until_whole()
    _follow(replica, cluster.nodes[0])
    return cluster


def _follow(replica: Node, primary: Node) -> None:
    name = primary.client.execute_command("CLUSTER MYID")
    replica.client.execute_command("CLUSTER REPLICATE", name)
    until(
        lambda: replica.client.info("replication").get("master_link_status") == "up",
        "the replica to follow",
    )
