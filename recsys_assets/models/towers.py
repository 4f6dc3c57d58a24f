"""The towers at work: embeddings of the catalogue, and of requests. Runs in both environments."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from recsys_assets.features.encoding import ModelEncoding
from recsys_assets.models.device import CPU, Device
from recsys_assets.models.inputs import with_age, with_request
from recsys_assets.models.purchase_counts import PurchaseCounts

Columns = Mapping[str, np.ndarray]
_BLOCK = 8192
ITEM_TOWER = "item_tower.onnx"
EMBEDDINGS = "embeddings.npy"
ITEM_IDS = "item_ids.json"


class ItemTower:
    """The exported item tower with its encoding.

    Args:
        folder: a version of the artifact `two_tower`.
        threads: of onnxruntime.
        file: the exported tower, where a copy of the artifact names it otherwise.
    """

    def __init__(self, folder: Path, threads: int = 2, file: str = ITEM_TOWER) -> None:
        self._encoding = ModelEncoding.load(folder / "encoding.json").item
        self._session = CPU.open_session(folder / file, threads)

    def embed(self, columns: Columns, text: np.ndarray, moment: int) -> np.ndarray:
        """Embeds n items as of a moment.

        Args:
            columns: `item_id`, attributes and activity, [n] each; "" or NaN = missing.
            text: float32 [n, t] text embeddings.
            moment: epoch seconds.

        Returns:
            float32 [n, d] of unit length.
        """
        batch = self._encoding.transform(with_age(columns, np.array([moment])))
        return self.embed_encoded(batch.ids, batch.dense, text)

    def embed_encoded(self, ids: np.ndarray, numbers: np.ndarray, text: np.ndarray) -> np.ndarray:
        """Embeds n items that are encoded already, each as of a moment of its own.

        Args:
            ids: int32 [n, columns].
            numbers: float32 [n, width].
            text: float32 [n, t].

        Returns:
            float32 [n, d] of unit length.
        """
        parts = [
            self._session.run(
                None,
                {
                    "ids": ids[start : start + _BLOCK],
                    "numbers": numbers[start : start + _BLOCK],
                    "text": text[start : start + _BLOCK],
                },
            )[0]
            for start in range(0, len(text), _BLOCK)
        ]
        return np.concatenate(parts).astype(np.float32)


def write_embeddings(folder: Path, embeddings: np.ndarray, item_ids: np.ndarray) -> None:
    """Writes `embeddings.npy` float32 [n, d] and `item_ids.json`, row for row."""
    np.save(folder / EMBEDDINGS, embeddings)
    (folder / ITEM_IDS).write_text(json.dumps(item_ids.tolist()), encoding="utf-8")


def read_embeddings(folder: Path) -> tuple[np.ndarray, list[str]]:
    """Reads what `write_embeddings` wrote."""
    return np.load(folder / EMBEDDINGS, allow_pickle=False), read_item_ids(folder)


def read_item_ids(folder: Path) -> list[str]:
    """The items of embeddings or of an index, by row."""
    item_ids: list[str] = json.loads((folder / ITEM_IDS).read_text(encoding="utf-8"))
    return item_ids


class QueryTower:
    """The exported query tower with its encoding.

    Args:
        folder: a version of the artifact `two_tower`.
        threads: of onnxruntime; one is fastest for single requests.
        device: to compute on.
        purchase_counts_of: where those of the users come from, by folder: unless given, from it.

    Raises:
        FileNotFoundError: a file of the artifact is missing.
        InvalidEncoding: `encoding.json` cannot be used.
        NoGpu: the device cannot be used.
    """

    def __init__(
        self,
        folder: Path,
        threads: int = 1,
        device: Device = CPU,
        purchase_counts_of: Callable[[Path], PurchaseCounts] = PurchaseCounts.load,
    ) -> None:
        encoding = ModelEncoding.load(folder / "encoding.json")
        self._encoding, self._time_zone = encoding.query, encoding.time_zone
        self._purchase_counts = purchase_counts_of(folder)
        self._session = device.open_session(folder / "query_tower.onnx", threads)

    def embed(self, columns: Columns, timestamps: np.ndarray) -> np.ndarray:
        """Embeds n requests.

        Args:
            columns: `user_id`, attributes, features and `device`, [n] each; "" or NaN = missing.
                Others may be there too.
            timestamps: int64 [n], epoch seconds.

        Returns:
            float32 [n, d] of unit length.

        Raises:
            KeyError: a column is not there.
        """
        batch = self._encoding.transform(with_request(columns, timestamps, self._time_zone))
        output = self._session.run(
            None,
            {
                "ids": batch.ids,
                "numbers": batch.dense,
                "profile": self._purchase_counts.profiles(batch.ids[:, 0]),
            },
        )
        return np.asarray(output[0], dtype=np.float32)
