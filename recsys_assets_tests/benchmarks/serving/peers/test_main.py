"""How the time of a lookup is split."""

import numpy as np

from benchmarks.serving.peers.__main__ import split_lookup
from benchmarks.serving.peers.lookup import Found


class Feast:
    """Says that its SDK took no time, so that all of it is the way."""

    def find(self, ids):
        return Found(np.empty(0, np.uint8), np.empty((0, len(ids))), 0.0)


def test_what_the_sdk_did_not_take_is_the_way():
    split = split_lookup(Feast(), [["a", "b"], ["c", "d"]])
    assert split["rows"] == 2
    assert split["sdk_p50_ms"] == 0
    assert split["way_p50_ms"] >= 0
