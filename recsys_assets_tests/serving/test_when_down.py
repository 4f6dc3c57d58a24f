"""What users get while their filters of seen items cannot be asked."""

import numpy as np
import pytest
import redis

from recsys_assets.pipeline.query import Queries
from recsys_assets.pipeline.requests import Requests
from recsys_assets.pipeline.retrieve import Depth, RetrieveStage
from recsys_assets.pipeline.seen_settings import WhenDown

USERS = ["ann", "", "bob"]


class Index:
    def search(self, queries, k, *budget):
        return np.tile(np.arange(k), (len(queries), 1)), np.zeros((len(queries), k))


class Down:
    def seen_rows(self, user_ids, rows):
        raise redis.ConnectionError("refused")


@pytest.mark.parametrize(
    ("when_down", "degraded", "refused"),
    [
        (WhenDown.SHOW, [True, False, True], [False] * 3),
        (WhenDown.REFUSE, [False] * 3, [True, False, True]),
    ],
)
def test_known_users_are_marked_or_refused_and_anonymous_ones_answered(
    when_down, degraded, refused
):
    stage = RetrieveStage(Index(), 50, Down(), when_down)
    requests = Requests(USERS, [""] * 3, np.full(3, 1_500_000_000), np.full(3, 5), [""] * 3)
    queries = Queries({}, np.zeros((3, 2)), np.zeros(3, dtype=bool))

    found = stage.run(requests, queries, Depth(candidates=20, enough=5, ranked=10))

    assert found.degraded.tolist() == degraded
    assert found.refused.tolist() == refused
    assert [rows.tolist() for rows in found.rows] == [list(range(10))] * 3
