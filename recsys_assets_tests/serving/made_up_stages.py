"""Stages of a request over made-up models: what goes in and out is theirs, what is learned is not.

Row n of the index is the n-th nearest item, moved on by the first number of the embedding.
"""

import numpy as np
import redis

from recsys_assets.pipeline.diversity import Diversity, Sampling
from recsys_assets.pipeline.pipeline import NEVER, Effort, Pipeline
from recsys_assets.pipeline.query import Queries, QueryStage
from recsys_assets.pipeline.rank import RankStage
from recsys_assets.pipeline.requests import Requests
from recsys_assets.pipeline.retrieve import NO_ROW, Depth, RetrieveStage

AT = 1_506_816_000
DEPTH = Depth(candidates=20, enough=5, ranked=20)
LESS = Depth(candidates=8, enough=2, ranked=4, budget="low")


class Features:
    """The online store, which knows `ann`."""

    def __init__(self, down=False):
        self.down = down
        self.round_trips = 0

    def read(self, user_ids):
        self.round_trips += 1
        if self.down:
            raise redis.ConnectionError("refused")
        known = {"ann": ("30-39", 12.5)}
        rows = [known.get(user, ("", np.nan)) for user in user_ids]
        return {
            "age": np.array([age for age, _ in rows], dtype=object),
            "spend_7d": np.array([spend for _, spend in rows]),
        }

    def missing(self, count):
        return {"age": np.array([""] * count, dtype=object), "spend_7d": np.full(count, np.nan)}


class Tower:
    """Moves the search on by the length of the user's id."""

    def __init__(self):
        self.batches = []

    def embed(self, columns, timestamps):
        self.columns = columns
        self.batches.append(len(timestamps))
        moved = [len(user) for user in columns["user_id"]]
        return np.stack([moved, np.ones(len(moved))], axis=1).astype(np.float32)


class Index:
    """Finds `items` items at most, and says so with `NO_ROW` where more are asked for."""

    def __init__(self, items):
        self.items = items
        self.depths = []
        self.budgets = []

    def search(self, queries, k, budget="normal"):
        self.depths.append(k)
        self.budgets.append(budget)
        places = np.tile(np.arange(k), (len(queries), 1))
        rows = (places + queries[:, :1].astype(np.int64)) % self.items
        return np.where(places < self.items, rows, NO_ROW), -places.astype(np.float32)


class Seen:
    """The same rows for every user with a name."""

    def __init__(self, bought=(), down=False):
        self.bought = list(bought)
        self.down = down
        self.round_trips = 0

    def seen_rows(self, user_ids, rows):
        self.round_trips += 1
        if self.down:
            raise redis.TimeoutError("timed out")
        return [
            np.isin(found, self.bought) & bool(user)
            for user, found in zip(user_ids, rows, strict=True)
        ]


class Ranker:
    """The higher the row, the better."""

    def score_batch(self, user_columns, timestamps, rows, embeddings=None):
        self.user_columns, self.embeddings = user_columns, embeddings
        return [found.astype(np.float32) for found in rows]


class PersonalRanker:
    """Every user, moment and item has a score of its own, in no order of the items."""

    def score_batch(self, user_columns, timestamps, rows, embeddings=None):
        spent = np.nan_to_num(user_columns["spend_7d"], nan=1.0)
        return [
            np.sin(found * 1.7 + of_user + moment % 11).astype(np.float32)
            for found, of_user, moment in zip(rows, spent, timestamps, strict=True)
        ]


def asked(*users, k=10, at=AT, budget=""):
    """Requests of users, all for k items at the same moment."""
    count = len(users)
    moments, ks = np.full(count, at), np.full(count, k)
    return Requests(list(users), ["in_store"] * count, moments, ks, [budget] * count)


def embedded(requests, degraded=False):
    """The requests as the query stage hands them on, nobody's search moved on."""
    columns = QueryStage(Features(), Tower()).run(requests).columns
    count = len(requests)
    return Queries(columns, np.zeros((count, 2), np.float32), np.full(count, degraded))


def retrieve_stage(items=100, **seen):
    return RetrieveStage(Index(items), items, Seen(**seen), budgets=frozenset({"normal", "high"}))


def rank_stage(items=100, sampling=0.0, ranker=None, **given):
    return RankStage(
        ranker=ranker or Ranker(),
        vectors=np.eye(items, dtype=np.float32),
        popularity=np.arange(items, dtype=float),
        diversity=Diversity(trade_off=1.0, pool=10),
        sampling=Sampling(temperature=sampling, seed=1),
        **given,
    )


def pipeline(items=100, features=None, ranker=None, **seen):
    return Pipeline(
        QueryStage(features or Features(), Tower()),
        retrieve_stage(items, **seen),
        rank_stage(items, ranker=ranker),
        {Effort.FULL: DEPTH, Effort.FEWER_CANDIDATES: LESS},
        [f"item {row}" for row in range(items)],
    )


def answer(of, requests, efforts=None, deadlines=None):
    """Slates, in full and in time unless said otherwise."""
    count = len(requests)
    return of.answer(
        requests,
        np.full(count, Effort.FULL) if efforts is None else np.array(efforts),
        np.full(count, NEVER) if deadlines is None else np.array(deadlines),
    )


def shown_rows(ranking):
    """Item rows as shown, best first."""
    return ranking.rows[ranking.shown].tolist()
