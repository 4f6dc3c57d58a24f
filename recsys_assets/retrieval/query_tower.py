"""The query tower at work: from user columns to query embeddings. Runs in both environments."""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from recsys_assets.features.encoding import ModelEncoding
from recsys_assets.retrieval.device import CPU, Device
from recsys_assets.retrieval.inputs import with_request
from recsys_assets.retrieval.tastes import Tastes

Columns = Mapping[str, np.ndarray]


class QueryTower:
    """The exported query tower with its encoding.

    Args:
        folder: a version of the artifact `two_tower`.
        threads: of onnxruntime; one is fastest for single requests.
        device: to compute on.
        tastes_of: where the users' tastes come from, by folder: unless given, from the folder.

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
        tastes_of: Callable[[Path], Tastes] = Tastes.load,
    ) -> None:
        encoding = ModelEncoding.load(folder / "encoding.json")
        self._encoding, self._time_zone = encoding.query, encoding.time_zone
        self._tastes = tastes_of(folder)
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
                "profile": self._tastes.profiles(batch.ids[:, 0]),
            },
        )
        return np.asarray(output[0], dtype=np.float32)
