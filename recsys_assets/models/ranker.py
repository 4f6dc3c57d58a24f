"""The ranker at work: scores of candidates for one request. Runs in both environments."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from recsys_assets.features.encoding import ModelEncoding
from recsys_assets.models.device import CPU, Device
from recsys_assets.models.index.quantized_rows import Rows
from recsys_assets.models.inputs import ItemNumbers, with_request
from recsys_assets.models.item_history import Changes
from recsys_assets.models.negatives import CANDIDATE_TOWER, RETRIEVAL, Scoring
from recsys_assets.models.purchase_counts import PurchaseCounts
from recsys_assets.models.towers import ItemTower, QueryTower

Columns = Mapping[str, np.ndarray]
ITEM_VECTORS = "item_vectors.npy"  # in the place of the tower, in a release of lower precision
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
        device: that requests are computed on.
        purchase_counts_of: as for `QueryTower`, of both models.

    Raises:
        FileNotFoundError: a file of the artifact is missing.
        InvalidEncoding: an encoding cannot be used.
        KeyError: an item column is missing.
        NoGpu: the device cannot be used.
    """

    def __init__(
        self,
        folder: Path,
        item_columns: Columns,
        text_embeddings: np.ndarray | Rows,
        promotions: Changes,
        threads: int = 1,
        device: Device = CPU,
        purchase_counts_of: Callable[[Path], PurchaseCounts] = PurchaseCounts.load,
    ) -> None:
        encoding = ModelEncoding.load(folder / "encoding.json")
        self._query, self._item = encoding.query, encoding.item
        self._time_zone = encoding.time_zone
        self._purchase_counts = purchase_counts_of(folder)
        self._session = device.open_session(folder / "ranker.onnx", threads)
        self._ids = self._item.encode_ids(item_columns)
        self._numbers = ItemNumbers(self._item, item_columns, promotions)
        self._text = text_embeddings
        self._scoring = Scoring.load(folder)
        self._correction = self._scoring.correction(item_columns["popularity_28d"])
        self._tower = QueryTower(folder / RETRIEVAL, threads, device, purchase_counts_of)
        self._vectors = item_vectors(folder / RETRIEVAL, item_columns, text_embeddings, threads)

    def score(self, user_columns: Columns, timestamp: int, rows: np.ndarray) -> np.ndarray:
        """Scores candidates for one request, as `score_batch`.

        Args:
            user_columns: as for `QueryTower.embed`, one row.
            timestamp: epoch seconds.
            rows: int64 [m], positions of the candidates among the items.
        """
        return self.score_batch(user_columns, np.array([timestamp]), [rows])[0]

    def score_batch(
        self,
        user_columns: Columns,
        timestamps: np.ndarray,
        rows: Sequence[np.ndarray],
        embeddings: np.ndarray | None = None,
    ) -> list[np.ndarray]:
        """Scores the candidates of n requests in one run; higher is better.

        Lists may differ in length: they are laid one after another, and nothing is padded.

        Args:
            user_columns: as for `QueryTower.embed`, n rows.
            timestamps: int64 [n], epoch seconds.
            rows: n arrays int64 [m_i], positions of the candidates among the items.
            embeddings: float32 [n, d] of the requests by the ranker's own query tower, where the
                caller has them already.

        Returns:
            n arrays float32 [m_i]: log-probability that the user buys the item now for the first
            time, up to a constant.
        """
        lengths = [len(one) for one in rows]
        candidates = np.concatenate(rows)
        if not len(candidates):
            return [np.empty(0, dtype=np.float32) for _ in rows]
        owner = np.repeat(np.arange(len(rows)), lengths)
        query = self._query.transform(with_request(user_columns, timestamps, self._time_zone))
        ids = self._ids[candidates]
        log_odds = self._session.run(
            None,
            {
                "query_ids": query.ids[owner],
                "query_numbers": query.dense[owner],
                "item_ids": ids,
                "item_numbers": self._numbers.at(timestamps[owner], candidates),
                "item_text": self._text[candidates],
                "affinity": self._purchase_counts.affinities(query.ids[:, 0], ids[:, 1:], owner),
            },
        )[0]
        if embeddings is None:
            embeddings = self._tower.embed(user_columns, timestamps)
        similarity = self._vectors.dot(candidates, embeddings[owner])
        scores = (
            np.asarray(log_odds, dtype=np.float32)
            + self._correction[candidates]
            + np.float32(self._scoring.similarity_weight) * similarity
        )
        return np.split(scores, np.cumsum(lengths)[:-1])


def item_vectors(
    folder: Path,
    item_columns: Mapping[str, np.ndarray],
    text: np.ndarray | Rows,
    threads: int = 1,
) -> Rows:
    """What a release holds of them; where it holds the tower instead, what that makes.

    Args:
        folder: of the two-tower model within the artifact `dlrm`.
        item_columns: as for `Ranker`.
        text: float32 [m, t], text embeddings of the items.
        threads: of onnxruntime.

    Raises:
        FileNotFoundError: the folder has neither vectors nor tower.
    """
    if (folder / ITEM_VECTORS).exists():
        return Rows.load(folder / ITEM_VECTORS)
    tower = ItemTower(folder, threads, CANDIDATE_TOWER)
    embedded = tower.embed(item_columns, text[:], _release_moment(item_columns))
    return Rows.of(embedded, "fp32")


def _release_moment(item_columns: Mapping[str, np.ndarray]) -> int:
    """The midnight after the last sale: the moment as of which the items are known."""
    last = np.nanmax(item_columns["last_sold_at"], initial=0)
    return int(last // _DAY + 1) * _DAY
