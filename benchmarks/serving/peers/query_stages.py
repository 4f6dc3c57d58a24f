"""The case study's stages from a request to a query embedding. Runs in Triton's Python stub.

Each takes and returns the tensors of one request, by name and without the batch dimension.
"""

import numpy as np

from benchmarks.serving.peers import query_encoding
from benchmarks.serving.peers.columns import LookupColumns
from benchmarks.serving.peers.lookup import Lookup, split
from benchmarks.serving.peers.options import Options
from benchmarks.serving.peers.query_encoding import (
    RANKER_TOWER,
    TOWER,
    model_folders,
    query_encodings,
)
from recsys_assets.features.encoding import EncodedBatch, Encoding
from recsys_assets.features.request_time import context, recency_days
from recsys_assets.models.device import CPU
from recsys_assets.models.purchase_counts import PurchaseCounts

Tensors = dict[str, np.ndarray]


class ContextPreprocessor:
    """Hands the request's context on; the case study fills in what is missing here."""

    @classmethod
    def load(cls, _: Options) -> "ContextPreprocessor":
        """Needs nothing of the release."""
        return cls()

    def run(self, inputs: Tensors) -> Tensors:
        """`device` and `timestamp`, as they came."""
        return {"device": inputs["device"], "timestamp": inputs["timestamp"]}


class UserLookup:
    """The user's features from Feast's online store, live."""

    def __init__(self, lookup: Lookup) -> None:
        self._lookup = lookup

    @classmethod
    def load(cls, options: Options) -> "UserLookup":
        """Connects to the process that asks Feast for users."""
        return cls(Lookup(options.user_socket, len(LookupColumns.of_users(options).numbers)))

    def run(self, inputs: Tensors) -> Tensors:
        """`texts` uint8 [bytes] and `numbers` float64 [columns, 1] of `user_id`."""
        found = self._lookup.find([inputs["user_id"][0].decode()])
        return {"texts": found.texts, "numbers": found.numbers}


class UserTransform:
    """Encodes what is known of the user, for each of the three models."""

    def __init__(self, columns: LookupColumns, encodings: list[Encoding]) -> None:
        self._columns = columns
        self._encodings = [query_encoding.user_part(encoding) for encoding in encodings]

    @classmethod
    def load(cls, options: Options) -> "UserTransform":
        """Loads vocabularies and normalisers."""
        return cls(LookupColumns.of_users(options), query_encodings(options))

    def run(self, inputs: Tensors) -> Tensors:
        """`ids` int32 [3, c] and `numbers` float32 [3, w] of user, features and `timestamp`."""
        texts = split(inputs["texts"], len(self._columns.texts))
        columns = {
            **dict(zip(self._columns.texts, texts, strict=True)),
            **dict(zip(self._columns.numbers, inputs["numbers"], strict=True)),
            "user_id": np.array([inputs["user_id"][0].decode()], dtype=object),
        }
        columns["recency_days"] = recency_days(inputs["timestamp"], columns["last_event_at"])
        encoded = query_encoding.encode(self._encodings, columns)
        return {"ids": encoded.ids, "numbers": encoded.dense}


class ContextTransform:
    """Encodes the request's context, for each of the three models."""

    def __init__(self, encodings: list[Encoding], time_zone: str) -> None:
        self._encodings = [query_encoding.context_part(encoding) for encoding in encodings]
        self._time_zone = time_zone

    @classmethod
    def load(cls, options: Options) -> "ContextTransform":
        """Loads vocabularies and normalisers."""
        return cls(query_encodings(options), query_encoding.time_zone(options))

    def run(self, inputs: Tensors) -> Tensors:
        """`ids` int32 [3, 1] and `numbers` float32 [3, 8] of `device` and `timestamp`."""
        device = np.array([inputs["device"][0].decode()], dtype=object)
        columns = {"device": device, **context(inputs["timestamp"], self._time_zone)}
        encoded = query_encoding.encode(self._encodings, columns)
        return {"ids": encoded.ids, "numbers": encoded.dense}


class QueryTowers:
    """The query embedding for the index, and the one that the ranker compares items with."""

    def __init__(self, options: Options) -> None:
        folders = model_folders(options)
        self._towers = [
            (
                row,
                CPU.open_session(folders[row] / "query_tower.onnx", threads=1),
                PurchaseCounts.load(folders[row]),
            )
            for row in (TOWER, RANKER_TOWER)
        ]

    @classmethod
    def load(cls, options: Options) -> "QueryTowers":
        """Opens the towers."""
        return cls(options)

    def run(self, inputs: Tensors) -> Tensors:
        """`embedding` and `ranker_embedding`, float32 [d] each, of the encoded halves."""
        batch = joined_query(inputs)
        embeddings = [
            session.run(
                None,
                {
                    "ids": batch.ids[row : row + 1],
                    "numbers": batch.dense[row : row + 1],
                    "profile": purchase_counts.profiles(batch.ids[row : row + 1, 0]),
                },
            )[0][0]
            for row, session, purchase_counts in self._towers
        ]
        return {"embedding": embeddings[0], "ranker_embedding": embeddings[1]}


def joined_query(inputs: Tensors) -> EncodedBatch:
    """The query side for the three models, of the outputs of both transforms."""
    return query_encoding.join(
        EncodedBatch(inputs["user_ids"], inputs["user_numbers"]),
        EncodedBatch(inputs["context_ids"], inputs["context_numbers"]),
    )
