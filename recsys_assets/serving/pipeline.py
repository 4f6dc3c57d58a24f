"""The three stages of a request, without Triton: query, retrieve, rank. Runs in both environments.

Each stage takes and returns named arrays with a leading batch dimension n, exactly the tensors of
its Triton model (`triton_repo/`), and holds in memory whatever it needs of its release.

What belongs here: the order of steps. What a step does is in `retrieval/`, `ranking/`,
`features/reader.py`, `seen_items.py` and `diversity.py`.
"""

import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from recsys_assets.retrieval.candidates import DEEPER
from recsys_assets.serving.circuit import Circuit, StoreUnavailable, connect
from recsys_assets.serving.diversity import Diversity, Sampling, arrange, perturb
from recsys_assets.serving.requests import check_request, decode_strings
from recsys_assets.serving.seen_items import SeenItems

Tensors = Mapping[str, np.ndarray]
Columns = dict[str, np.ndarray]

# Files of a release, beside the artifacts it is made of.
USER_COLUMNS = "user_columns.json"  # names of the user features that its models take
ITEMS = "items.parquet"  # attributes and activity of every item
TEXT_EMBEDDINGS = "item_text_embeddings.npy"
PROMOTIONS = "promotions.npz"  # the plan for the days to come
STAGE = "stage.json"  # settings of a stage
# Marks the end of a row of candidates that is shorter than the tensor.
NO_ROW = -1


class UserFeatures(Protocol):
    """Where user features come from: `features.reader.OnlineUserFeatures`."""

    def read(self, user_ids: list[str]) -> Columns:
        """Columns of n rows in one round trip; a user without a row has missing values."""

    def missing(self, count: int) -> Columns:
        """The same columns with every value missing, of `count` rows."""


class Tower(Protocol):
    """`retrieval.query_tower.QueryTower`."""

    def embed(self, columns: Columns, timestamps: np.ndarray) -> np.ndarray:
        """Query embeddings, float32 [n, d]."""


class Index(Protocol):
    """`retrieval.index.ItemIndex`."""

    def search(self, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Rows int64 [n, k] and scores float32 [n, k], best first."""


class Seen(Protocol):
    """`serving.seen_items.SeenItems`."""

    def seen(self, user_ids: Sequence[str], item_ids: Sequence[Sequence[str]]) -> list[np.ndarray]:
        """For each user, which of the given items the user has bought: bool [m_i]."""


class Scorer(Protocol):
    """`ranking.ranker.Ranker`."""

    def score(self, user_columns: Columns, timestamp: int, rows: np.ndarray) -> np.ndarray:
        """Scores float32 [m] of item rows int64 [m] for one user."""


@dataclass
class QueryStage:
    """From a request to a query embedding; user features come from the online store."""

    features: UserFeatures
    tower: Tower
    circuit: Circuit = field(default_factory=Circuit)

    @classmethod
    def load(cls, folder: Path, online_store_url: str) -> "QueryStage":
        """From the version folder of a release."""
        from recsys_assets.features.reader import OnlineUserFeatures
        from recsys_assets.retrieval.query_tower import QueryTower

        columns = json.loads((folder / USER_COLUMNS).read_text())
        return cls(
            features=OnlineUserFeatures(connect(online_store_url), columns),
            tower=QueryTower(folder / "two_tower"),
        )

    def run(self, inputs: Tensors) -> dict[str, np.ndarray]:
        """Embeds the context of n requests.

        Args:
            inputs: `user_id` and `device` bytes [n, 1], `timestamp` int64 [n, 1], `k` int32 [n, 1].

        Returns:
            `embedding` float32 [n, d]; `user_columns` [n, 1], one JSON object a row with the
            user's features, for the ranker; `degraded` bool [n, 1].

        Raises:
            InvalidRequest: an input is out of range.
        """
        user_id, device, timestamp, k = (
            inputs[name][:, 0] for name in ("user_id", "device", "timestamp", "k")
        )
        check_request(user_id, device, timestamp, k)
        user_ids = decode_strings("user_id", user_id)
        columns, degraded = self._user_columns(user_ids)
        columns["user_id"] = np.array(user_ids, dtype=object)
        columns["device"] = np.array(decode_strings("device", device), dtype=object)
        return {
            "embedding": self.tower.embed(columns, timestamp),
            "user_columns": np.array([[row] for row in _to_json(columns)], dtype=object),
            "degraded": degraded,
        }

    def _user_columns(self, user_ids: list[str]) -> tuple[Columns, np.ndarray]:
        """Features, and which rows lack them for an outage; anonymous rows have none to lack."""
        known = np.array([[user != ""] for user in user_ids])
        if not known.any():
            return self.features.missing(len(user_ids)), known
        try:
            return self.circuit.call(lambda: self.features.read(user_ids)), np.zeros_like(known)
        except StoreUnavailable:
            return self.features.missing(len(user_ids)), known


@dataclass
class RetrieveStage:
    """From a query embedding to candidates: nearest items, less what the user has bought."""

    index: Index
    item_ids: list[str]
    seen_items: Seen
    candidates: int
    enough: int
    circuit: Circuit = field(default_factory=Circuit)

    @classmethod
    def load(cls, folder: Path, online_store_url: str) -> "RetrieveStage":
        """From the version folder of a release."""
        from recsys_assets.retrieval.index import ItemIndex

        return cls(
            index=ItemIndex(folder / "item_index"),
            item_ids=json.loads((folder / "item_index" / "item_ids.json").read_text()),
            seen_items=SeenItems(connect(online_store_url)),
            **json.loads((folder / STAGE).read_text()),
        )

    def run(self, inputs: Tensors) -> dict[str, np.ndarray]:
        """Finds candidates for n requests.

        The nearest `candidates` items are asked for, and those bought are left out. Where fewer
        than `enough` or k are left, of a user who has bought most of them, the search goes
        deeper, as in `evaluation.two_stage`.

        Args:
            inputs: `user_id` bytes [n, 1], `k` int32 [n, 1], `embedding` float32 [n, d],
                `degraded` bool [n, 1].

        Returns:
            `row` int64 [n, candidates]: item rows, best first, then `NO_ROW`; `degraded`
            bool [n, 1], also set where bought items could not be left out.
        """
        users = decode_strings("user_id", inputs["user_id"][:, 0])
        rows = np.full((len(users), self.candidates), NO_ROW, dtype=np.int64)
        degraded = inputs["degraded"].copy()
        searching, depth = np.arange(len(users)), min(self.candidates, len(self.item_ids))
        while len(searching):
            found, _ = self.index.search(inputs["embedding"][searching], depth)
            unseen, missed = self._unseen([users[i] for i in searching], found)
            for i, items in zip(searching, unseen, strict=True):
                rows[i, : len(items)] = items[: self.candidates]
            degraded[searching] |= missed
            if depth == len(self.item_ids):
                break
            wanted = np.maximum(inputs["k"][searching, 0], self.enough)
            searching = searching[[len(u) < w for u, w in zip(unseen, wanted, strict=True)]]
            depth = min(depth * DEEPER, len(self.item_ids))
        return {"row": rows, "degraded": degraded}

    def _unseen(self, users: list[str], rows: np.ndarray) -> tuple[list[np.ndarray], np.ndarray]:
        """Rows [n, depth] less what each user has bought; bool [n, 1]: that is not known."""
        found = [row[row != NO_ROW] for row in rows]
        known = np.array([[user != ""] for user in users])
        if not known.any():
            return found, known
        names = [[self.item_ids[item] for item in items] for items in found]
        try:
            seen = self.circuit.call(lambda: self.seen_items.seen(users, names))
        except StoreUnavailable:
            return found, known
        unseen = [items[~bought] for items, bought in zip(found, seen, strict=True)]
        return unseen, np.zeros_like(known)


@dataclass(frozen=True)
class Ranking:
    """The candidates of one request as the ranker sees them, and which of them are shown.

    `rows` int64 [m] are items in the order retrieved, `scores` float32 [m] belong to them, and
    `shown` int64 [<= k] are positions among them in the order shown.
    """

    rows: np.ndarray
    scores: np.ndarray
    shown: np.ndarray


@dataclass
class RankStage:
    """From candidates to the items shown: ranker, diversity, sampling.

    Diversity is that of the items' texts: similar purchases make item embeddings of the tower
    alike for popular items, so that they hardly tell kinds of products apart.
    """

    ranker: Scorer
    item_ids: np.ndarray
    vectors: np.ndarray
    diversity: Diversity
    sampling: Sampling

    @classmethod
    def load(cls, folder: Path) -> "RankStage":
        """From the version folder of a release."""
        from recsys_assets.ranking.ranker import Ranker
        from recsys_assets.retrieval.item_history import Changes
        from recsys_assets.retrieval.item_tower import ITEM_IDS

        config = json.loads((folder / STAGE).read_text())
        ids = json.loads((folder / ITEM_IDS).read_text())
        text = np.load(folder / TEXT_EMBEDDINGS)
        return cls(
            ranker=Ranker(
                folder / "dlrm",
                read_columns(folder / ITEMS),
                text,
                Changes.load(folder / PROMOTIONS),
            ),
            item_ids=np.array(ids, dtype=object),
            vectors=text,
            diversity=Diversity(**config["diversity"]),
            sampling=Sampling(**config["sampling"]),
        )

    def run(self, inputs: Tensors) -> dict[str, np.ndarray]:
        """Ranks the candidates of n requests: `outputs` of what `rank` gives."""
        return self.outputs(inputs, self.rank(inputs))

    def rank(self, inputs: Tensors) -> list[Ranking]:
        """Scores and orders the candidates of n requests.

        Args:
            inputs: `timestamp` int64 [n, 1], `k` int32 [n, 1], `user_columns` bytes [n, 1],
                `row` int64 [n, candidates].
        """
        return [
            self.ranking(
                _from_json(inputs["user_columns"][i, 0]),
                int(inputs["timestamp"][i, 0]),
                row[row != NO_ROW],
                int(inputs["k"][i, 0]),
            )
            for i, row in enumerate(inputs["row"])
        ]

    def outputs(self, inputs: Tensors, rankings: list[Ranking]) -> dict[str, np.ndarray]:
        """The items shown to n requests.

        Args:
            inputs: `k` int32 [n, 1], `degraded` bool [n, 1].
            rankings: n of them.

        Returns:
            `item_id` [n, max k], `score` float32 [n, max k] as the ranker gave it, and
            `degraded`. Should a row have fewer items, it ends in empty ids with score 0.
        """
        shape = (len(rankings), int(inputs["k"].max()))
        item_id = np.full(shape, "", dtype=object)
        score = np.zeros(shape, dtype=np.float32)
        for i, ranking in enumerate(rankings):
            shown = ranking.shown
            item_id[i, : len(shown)] = self.item_ids[ranking.rows[shown]]
            score[i, : len(shown)] = ranking.scores[shown]
        return {"item_id": item_id, "score": score, "degraded": inputs["degraded"]}

    def ranking(self, columns: Columns, timestamp: int, candidates: np.ndarray, k: int) -> Ranking:
        """Scores and orders the candidates of one request.

        Args:
            columns: the user's context, one row each.
            timestamp: of the request, epoch seconds.
            candidates: item rows int64 [m], as retrieved.
            k: how many are shown at most.
        """
        if len(candidates) == 0:
            return Ranking(candidates, np.empty(0, dtype=np.float32), candidates)
        scores = self.ranker.score(columns, timestamp, candidates)
        order = scores
        if self.sampling.temperature > 0:
            request = zlib.crc32(f"{columns['user_id'][0]}@{timestamp}".encode())
            order = perturb(scores, self.sampling, request)
        positions = arrange(
            order, self.vectors[candidates], min(k, len(candidates)), self.diversity
        )
        return Ranking(candidates, scores, positions)


def read_columns(file: Path) -> Columns:
    """Columns of a Parquet file: text with "" for missing, numbers as float64 with NaN."""
    from recsys_assets.retrieval.item_history import numbers, strings

    table = pq.read_table(file)
    return {
        field.name: (strings if pa.types.is_string(field.type) else numbers)(table[field.name])
        for field in table.schema
    }


def _to_json(columns: Columns) -> list[bytes]:
    """One JSON object a row; missing numbers are NaN, which Python's JSON reads back."""
    names = list(columns)
    rows = zip(*(columns[name].tolist() for name in names), strict=True)
    return [json.dumps(dict(zip(names, row, strict=True))).encode() for row in rows]


def _from_json(row: bytes) -> Columns:
    """Columns of one row, strings as objects."""
    values = json.loads(row).items()
    return {
        name: np.array([value], dtype=object if isinstance(value, str) else np.float64)
        for name, value in values
    }
