"""The query side of the models' encodings in two halves: of the user, and of the context.

The case study transforms both in models of their own; the tower and the ranker then take them
together. A release has three query encodings, which training may have fitted on different days:
the query tower's, the ranker's, and that of the two-tower model within the ranker. All three
encode the same columns, so their rows are stacked. Runs in both environments.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from benchmarks.serving.peers.options import Options
from recsys_assets.features.encoding import EncodedBatch, Encoding, ModelEncoding
from recsys_assets.features.request_time import CONTEXT_FEATURES
from recsys_assets.models.negatives import RETRIEVAL

TOWER, RANKER, RANKER_TOWER = 0, 1, 2  # rows of what is stacked
_CONTEXT = ("device", *CONTEXT_FEATURES)


class UnknownEncoding(ValueError):
    """The release encodes its columns in another way than the peer puts them together in."""


def time_zone(options: Options) -> str:
    """In which the models tell the hour of a request.

    Raises:
        UnknownEncoding: not all in the same one.
    """
    zones = {ModelEncoding.load(f / "encoding.json").time_zone for f in model_folders(options)}
    if len(zones) > 1:
        raise UnknownEncoding(
            f"the models tell the hour in {', '.join(sorted(zones))}: the peer knows one time "
            "zone; train both models with the same RECSYS_TIME_ZONE"
        )
    return zones.pop()


def query_encodings(options: Options) -> list[Encoding]:
    """The three, in the order of their rows.

    Raises:
        UnknownEncoding: one does not end in the columns of the context.
    """
    folders = model_folders(options)
    encodings = [ModelEncoding.load(folder / "encoding.json").query for folder in folders]
    for folder, encoding in zip(folders, encodings, strict=True):
        numbers = tuple(encoding.normalisers)[-len(CONTEXT_FEATURES) :]
        if (*list(encoding.vocabularies)[-1:], *numbers) != _CONTEXT:
            raise UnknownEncoding(
                f"{folder}/encoding.json: the query columns do not end in {', '.join(_CONTEXT)}; "
                "change query_encoding.py with retrieval/inputs.py"
            )
    return encodings


def model_folders(options: Options) -> list[Path]:
    """Where the three models are, in the order of their rows."""
    ranker = options.file("dlrm")
    return [options.file("two_tower"), ranker, ranker / RETRIEVAL]


def user_part(encoding: Encoding) -> Encoding:
    """Without the columns of the context."""
    names = {*encoding.vocabularies, *encoding.normalisers} - set(_CONTEXT)
    return _part(encoding, names)


def context_part(encoding: Encoding) -> Encoding:
    """Only the columns of the context."""
    return _part(encoding, _CONTEXT)


def encode(encodings: Iterable[Encoding], columns: Mapping[str, np.ndarray]) -> EncodedBatch:
    """One row in each encoding: `ids` int32 [encodings, c], `dense` float32 [encodings, w]."""
    batches = [encoding.transform(columns) for encoding in encodings]
    return EncodedBatch(
        np.concatenate([batch.ids for batch in batches]),
        np.concatenate([batch.dense for batch in batches]),
    )


def join(user: EncodedBatch, context: EncodedBatch) -> EncodedBatch:
    """The two halves as a model takes them, row by row."""
    of_user, of_context = user.dense.shape[1] // 2, context.dense.shape[1] // 2
    dense = (
        user.dense[:, :of_user],
        context.dense[:, :of_context],
        user.dense[:, of_user:],
        context.dense[:, of_context:],
    )
    return EncodedBatch(
        np.concatenate([user.ids, context.ids], axis=1), np.concatenate(dense, axis=1)
    )


def _part(encoding: Encoding, names: Iterable[str]) -> Encoding:
    kept = set(names)
    return Encoding(
        {name: v for name, v in encoding.vocabularies.items() if name in kept},
        {name: n for name, n in encoding.normalisers.items() if name in kept},
    )
