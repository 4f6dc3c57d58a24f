"""The case study's stages from encoded candidates to an answer. Runs in Triton's Python stub.

Each takes and returns the tensors of one request, by name and without the batch dimension.
"""

import json
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmarks.serving.peers.options import Options
from benchmarks.serving.peers.query_encoding import RANKER, model_folders
from benchmarks.serving.peers.query_stages import joined_query
from recsys_assets.models.device import CPU
from recsys_assets.models.negatives import Scoring
from recsys_assets.models.purchase_counts import PurchaseCounts
from recsys_assets.pipeline.diversity import Sampling, perturb
from recsys_assets.pipeline.rank import ITEMS, STAGE, read_columns

Tensors = dict[str, np.ndarray]


class Unroll:
    """Repeats the query side for each candidate, and joins both to what depends on the pair."""

    def __init__(self, purchase_counts: PurchaseCounts) -> None:
        self._purchase_counts = purchase_counts

    @classmethod
    def load(cls, options: Options) -> "Unroll":
        """Loads what users like."""
        return cls(PurchaseCounts.load(model_folders(options)[RANKER]))

    def run(self, inputs: Tensors) -> Tensors:
        """The ranker's inputs, n rows each, and `similarity` float32 [n]."""
        query = joined_query(inputs)
        ids, dense = query.ids[RANKER : RANKER + 1], query.dense[RANKER : RANKER + 1]
        item_ids = inputs["item_ids"]
        count = len(item_ids)
        owner = np.zeros(count, dtype=np.int64)
        return {
            "query_ids": np.tile(ids, (count, 1)),
            "query_numbers": np.tile(dense, (count, 1)),
            "item_ids": item_ids,
            "item_numbers": inputs["item_numbers"],
            "item_text": inputs["item_text"],
            "affinity": self._purchase_counts.affinities(ids[:, 0], item_ids[:, 1:], owner),
            "similarity": inputs["item_vector"] @ inputs["ranker_embedding"],
        }


class Ranking:
    """The DLRM, and what is added to its log-odds."""

    def __init__(self, session: Any, scoring: Scoring, correction: np.ndarray) -> None:
        self._session = session
        self._scoring = scoring
        self._correction = correction

    @classmethod
    def load(cls, options: Options) -> "Ranking":
        """Opens the ranker."""
        folder = model_folders(options)[RANKER]
        scoring = Scoring.load(folder)
        popularity = read_columns(options.file(ITEMS))["popularity_28d"]
        session = CPU.open_session(folder / "ranker.onnx", threads=1)
        return cls(session, scoring, scoring.correction(popularity))

    def run(self, inputs: Tensors) -> Tensors:
        """`score` float32 [n] of `row` and the unrolled inputs."""
        added = {name: inputs[name] for name in ("row", "similarity")}
        features = {name: values for name, values in inputs.items() if name not in added}
        log_odds = self._session.run(None, features)[0]
        weight = np.float32(self._scoring.similarity_weight)
        correction = self._correction[added["row"]]
        return {"score": log_odds + correction + weight * added["similarity"]}


class SoftmaxSampling:
    """The k items to show: by score, or sampled from its softmax, as the release says.

    There is no diversity here: the case study knows none beyond sampling.
    """

    def __init__(self, sampling: Sampling) -> None:
        self._sampling = sampling

    @classmethod
    def load(cls, options: Options) -> "SoftmaxSampling":
        """Reads how the release samples."""
        config = json.loads(options.file(STAGE).read_text(encoding="utf-8"))
        return cls(Sampling(**config["sampling"]))

    def run(self, inputs: Tensors) -> Tensors:
        """`row` int64 and `score` float32 [at most k], first to show first."""
        scores = inputs["score"]
        order = scores
        if self._sampling.temperature > 0:
            asked = f"{inputs['user_id'][0].decode()}@{inputs['timestamp'][0]}"
            order = perturb(scores, self._sampling, zlib.crc32(asked.encode()))
        shown = np.argsort(-order, kind="stable")[: int(inputs["k"][0])]
        return {"row": inputs["row"][shown], "score": scores[shown]}


class IdDecoder:
    """Item ids of rows; also what clients of ours expect beside them."""

    def __init__(self, ids: Sequence[str], release: int) -> None:
        self._ids = np.array(ids, dtype=object)
        self._release = np.array([release])

    @classmethod
    def load(cls, options: Options) -> "IdDecoder":
        """Reads the ids."""
        return cls(options.item_ids(), options.release)

    def run(self, inputs: Tensors) -> Tensors:
        """`item_id` and `score` [at most k], `release` and `degraded` [1]."""
        return {
            "item_id": self._ids[inputs["row"]],
            "score": inputs["score"],
            "release": self._release,
            "degraded": np.array([False]),
        }
