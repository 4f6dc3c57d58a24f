"""The ranker at work: scores of candidates for one request. Runs in both environments."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from recsys_assets.features.declarations import ITEM_FEATURES
from recsys_assets.features.encoding import ModelEncoding
from recsys_assets.ranking.scoring import CANDIDATE_TOWER, RETRIEVAL, Scoring
from recsys_assets.retrieval.inputs import with_age, with_request
from recsys_assets.retrieval.item_history import Changes, promotions_at
from recsys_assets.retrieval.item_tower import ItemTower
from recsys_assets.retrieval.query_tower import QueryTower, open_session
from recsys_assets.retrieval.tastes import Tastes

Columns = Mapping[str, np.ndarray]

_DAY = 86_400


class Ranker:
    """The exported DLRM with everything that is known of the items beforehand.

    A score adds up two models' log-probabilities of a purchase, each up to a constant: the
    DLRM's, corrected for how its negatives were drawn, and `retrieval_weight` times that of the
    two-tower model which found the candidates. Their errors differ, so the product of the two
    orders better than either (Hinton, "Products of experts", 1999).

    Args:
        folder: a version of the artifact `dlrm`.
        item_columns: `item_id`, attributes and activity of all m items, as of the release.
        text_embeddings: float32 [m, t].
        promotions: of the items, around the moments to come.
        threads: of onnxruntime.

    Raises:
        FileNotFoundError: a file of the artifact is missing.
        InvalidEncoding: an encoding cannot be used.
        KeyError: an item column is missing.
    """

    def __init__(
        self,
        folder: Path,
        item_columns: Columns,
        text_embeddings: np.ndarray,
        promotions: Changes,
        threads: int = 1,
    ) -> None:
        encoding = ModelEncoding.load(folder / "encoding.json")
        self._query, self._item = encoding.query, encoding.item
        self._tastes = Tastes.load(folder)
        self._session = open_session(folder / "ranker.onnx", threads)
        self._promotions = promotions
        self._columns = {name: item_columns[name] for name in ITEM_FEATURES.columns}
        self._ids = self._item.encode_ids(item_columns)
        self._text = np.ascontiguousarray(text_embeddings, dtype=np.float32)
        self._scoring = Scoring.load(folder)
        self._correction = self._scoring.correction(item_columns["popularity_28d"])
        self._tower = QueryTower(folder / RETRIEVAL, threads)
        self._vectors = ItemTower(folder / RETRIEVAL, threads, CANDIDATE_TOWER).embed(
            item_columns, self._text, _release_moment(item_columns)
        )

    def score(self, user_columns: Columns, timestamp: int, rows: np.ndarray) -> np.ndarray:
        """Scores candidates for one request; higher is better.

        Args:
            user_columns: as for `QueryTower.embed`, one row.
            timestamp: epoch seconds.
            rows: int64 [m], positions of the candidates among the items.

        Returns:
            float32 [m]: log-probability that the user buys the item now for the first time, up
            to a constant.
        """
        if not len(rows):
            return np.empty(0, dtype=np.float32)
        moment = np.array([timestamp])
        query = self._query.transform(with_request(user_columns, moment))
        count = len(rows)
        log_odds = self._session.run(
            None,
            {
                "query_ids": np.broadcast_to(query.ids, (count, query.ids.shape[1])),
                "query_numbers": np.broadcast_to(query.dense, (count, query.dense.shape[1])),
                "item_ids": self._ids[rows],
                "item_numbers": self._numbers_at(moment, rows),
                "item_text": self._text[rows],
                "affinity": self._tastes.affinities(int(query.ids[0, 0]), self._ids[rows, 1:]),
            },
        )[0]
        similarity = self._vectors[rows] @ self._tower.embed(user_columns, moment)[0]
        return (
            np.asarray(log_odds, dtype=np.float32)
            + self._correction[rows]
            + np.float32(self._scoring.similarity_weight) * similarity
        )

    def _numbers_at(self, moment: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Encoded numbers of candidates: activity of the release, age and promotions of now."""
        columns = {name: values[rows] for name, values in self._columns.items()}
        columns |= promotions_at(self._promotions, rows, moment)
        return self._item.encode_dense(with_age(columns, moment))


def _release_moment(item_columns: Columns) -> int:
    """The midnight after the last sale: the moment as of which the items are known."""
    last = np.nanmax(item_columns["last_sold_at"], initial=0)
    return int(last // _DAY + 1) * _DAY
