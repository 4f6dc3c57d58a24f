"""Feast's SDK as a process of its own, beside a lookup stage of the case study's layout.

    python -m benchmarks.serving.peers.feast_server <feature_store.yaml> <socket> \
        --key item_id --texts item_attributes:brand ... --numbers item_features:price ...

A call is `FeatureStore.get_online_features(...).to_dict()` over plain feature references, as in
the case study. In its favour: entity rows go in by column, the registry is never read again, and
the first call, which loads everything, is made before anybody is let in.
"""

import argparse
import gc
import socketserver
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.serving.peers.lookup import SEPARATOR, address, pack, receive, send

if TYPE_CHECKING:
    from feast import FeatureStore


class OnlineFeatures:
    """Features of one kind of entity.

    Args:
        store: an opened Feast store.
        key: join key of the entity.
        texts: references `view:feature` of text features.
        numbers: references of numbers.
    """

    def __init__(
        self, store: "FeatureStore", key: str, texts: Sequence[str], numbers: Sequence[str]
    ) -> None:
        self._store = store
        self._key = key
        self._references = [*texts, *numbers]
        self._texts = [_feature(reference) for reference in texts]
        self._numbers = [_feature(reference) for reference in numbers]

    def reply(self, request: bytes | bytearray) -> bytes:
        """The reply to ids as `lookup.Lookup` sends them."""
        ids = bytes(request).decode().split("\0")
        start = time.perf_counter()
        found = self._store.get_online_features(self._references, {self._key: ids}).to_dict()
        seconds = time.perf_counter() - start
        rows = zip(*(found[name] for name in self._texts), strict=True)
        texts = SEPARATOR.join(_text(value) for row in rows for value in row)
        # None becomes NaN.
        numbers = np.array([found[name] for name in self._numbers], dtype=np.float64)
        return pack(texts, numbers, seconds)


class LookupServer(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    """Answers any number of connections on an abstract socket, each in a thread of its own."""

    daemon_threads = True

    def __init__(self, name: str, features: OnlineFeatures) -> None:
        self.features = features
        super().__init__(address(name), _Connection)


class _Connection(socketserver.BaseRequestHandler):
    server: LookupServer

    def handle(self) -> None:
        while (request := receive(self.request)) is not None:
            send(self.request, self.server.features.reply(request))


def _text(value: Any) -> bytes:
    return b"" if value is None else str(value).encode()


def _feature(reference: str) -> str:
    return reference.partition(":")[2]


def main() -> None:
    """Serves until the process is ended."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("configuration", type=Path, help="a filled-in feature_store.yaml")
    parser.add_argument("socket", help="name of the abstract socket to listen on")
    parser.add_argument("--key", required=True, help="join key of the entity")
    parser.add_argument("--texts", nargs="*", default=[], metavar="VIEW:FEATURE")
    parser.add_argument("--numbers", nargs="*", default=[], metavar="VIEW:FEATURE")
    arguments = parser.parse_args()
    from feast import FeatureStore

    features = OnlineFeatures(
        FeatureStore(fs_yaml_file=arguments.configuration),
        arguments.key,
        arguments.texts,
        arguments.numbers,
    )
    features.reply(b"warm-up")
    gc.collect()
    gc.freeze()
    with LookupServer(arguments.socket, features) as server:
        server.serve_forever()


if __name__ == "__main__":
    main()
