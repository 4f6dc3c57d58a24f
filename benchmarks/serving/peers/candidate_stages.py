"""The case study's stages from a query embedding to encoded candidates. Triton's Python stub.

Each takes and returns the tensors of one request, by name and without the batch dimension.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from benchmarks.serving.peers.columns import LookupColumns
from benchmarks.serving.peers.lookup import SEPARATOR, Lookup, split
from benchmarks.serving.peers.options import Options
from benchmarks.serving.peers.query_encoding import RANKER_TOWER, model_folders
from recsys_assets.features.encoding import Encoding, ModelEncoding
from recsys_assets.models.index.index import ItemIndex
from recsys_assets.models.index.quantized_rows import Rows
from recsys_assets.models.inputs import with_age
from recsys_assets.models.item_history import Changes, promotions_at
from recsys_assets.models.ranker import item_vectors
from recsys_assets.pipeline.circuit import connect_for_bulk
from recsys_assets.pipeline.pipeline import Effort, read_depths
from recsys_assets.pipeline.rank import ITEMS, PROMOTIONS, TEXT_EMBEDDINGS, read_columns
from recsys_assets.pipeline.retrieve import Depth
from recsys_assets.pipeline.seen_items import SeenItems
from recsys_assets.settings import load_settings

Tensors = dict[str, np.ndarray]


class Retrieval:
    """The items nearest to the query embedding."""

    def __init__(self, index: ItemIndex, depth: Depth) -> None:
        self._index = index
        self._candidates = min(depth.candidates, index.description.items)
        self._budget = depth.budget

    @classmethod
    def load(cls, options: Options) -> "Retrieval":
        """Reads the index."""
        depth = read_depths(Path(options.version_folder))[Effort.FULL]
        return cls(ItemIndex(options.file("item_index")), depth)

    def run(self, inputs: Tensors) -> Tensors:
        """`row` int64 [candidates], nearest first, of `embedding`."""
        found, _ = self._index.search(inputs["embedding"][None], self._candidates, self._budget)
        return {"row": found[0][found[0] >= 0]}


class SeenFilter:
    """Takes out what the user's Bloom filter holds; unlike ours it never searches deeper."""

    def __init__(self, seen_items: SeenItems) -> None:
        self._seen_items = seen_items

    @classmethod
    def load(cls, options: Options) -> "SeenFilter":
        """Connects to the store of the filters."""
        client = connect_for_bulk(load_settings().online_store_url)
        return cls(SeenItems(client, options.item_ids()))

    def run(self, inputs: Tensors) -> Tensors:
        """`row` int64 [m], those that `user_id` has not bought."""
        rows = inputs["row"]
        seen = self._seen_items.seen_rows([inputs["user_id"][0].decode()], [rows])[0]
        return {"row": rows[~seen]}


class ItemRows(Protocol):
    """Where item features come from."""

    def find(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Texts uint8 [bytes] and numbers float64 [columns, m] of item rows int64 [m]."""


class LiveRows:
    """Layout (a): Feast's online store is asked for every candidate of every request."""

    def __init__(self, lookup: Lookup, ids: Sequence[str]) -> None:
        self._lookup = lookup
        self._ids = ids

    def find(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """As `ItemRows.find`."""
        found = self._lookup.find([self._ids[row] for row in rows])
        return found.texts, found.numbers


class CachedRows:
    """Layout (b): all item rows are kept in the process, as numpy arrays.

    The case study fills its cache by one call of Feast as the model loads. Here it is filled
    from the release's own table, which holds the same values and loads faster.
    """

    def __init__(self, texts: list[bytes], numbers: np.ndarray) -> None:
        self._texts = texts
        self._numbers = numbers

    @classmethod
    def of_release(cls, options: Options) -> "CachedRows":
        """Reads the table."""
        items = read_columns(options.file(ITEMS))
        columns = LookupColumns.of_items(options)
        values = [[value.encode() for value in items[name]] for name in columns.texts]
        return cls(
            [SEPARATOR.join(row) for row in zip(*values, strict=True)],
            np.stack([items[name] for name in columns.numbers]),
        )

    def find(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """As `ItemRows.find`."""
        texts = SEPARATOR.join([self._texts[row] for row in rows])
        return np.frombuffer(texts, np.uint8), self._numbers[:, rows]


class ItemLookup:
    """Features of all candidates that are left."""

    def __init__(self, rows: ItemRows) -> None:
        self._rows = rows

    @classmethod
    def load(cls, options: Options) -> "ItemLookup":
        """Connects to the process that asks Feast for items, or fills the cache."""
        if not options.item_socket:
            return cls(CachedRows.of_release(options))
        columns = LookupColumns.of_items(options)
        lookup = Lookup(options.item_socket, len(columns.numbers))
        return cls(LiveRows(lookup, options.item_ids()))

    def run(self, inputs: Tensors) -> Tensors:
        """`texts` uint8 [bytes] and `numbers` float64 [columns, m] of the `row`s."""
        texts, found = self._rows.find(inputs["row"])
        return {"texts": texts, "numbers": found}


class ItemTransform:
    """Encodes the features of the best candidates, as many as are ranked.

    The case study ranks all that are left of 300. Here as many as ours ranks go on, so that both
    rank the same items, and the peer's later stages have a third of the work.
    """

    def __init__(
        self,
        ids: list[str],
        ranked: int,
        columns: LookupColumns,
        encoding: Encoding,
        promotions: Changes,
    ) -> None:
        self._ids = np.array(ids, dtype=object)
        self._ranked = ranked
        self._columns = columns
        self._encoding = encoding
        self._promotions = promotions

    @classmethod
    def load(cls, options: Options) -> "ItemTransform":
        """Loads vocabularies, normalisers and the promotion plan."""
        return cls(
            options.item_ids(),
            read_depths(Path(options.version_folder))[Effort.FULL].ranked,
            LookupColumns.of_items(options),
            ModelEncoding.load(options.file("dlrm") / "encoding.json").item,
            Changes.load(options.file(PROMOTIONS)),
        )

    def run(self, inputs: Tensors) -> Tensors:
        """`row` int64 [n], `ids` int32 [n, c], `numbers` float32 [n, w] at `timestamp`."""
        rows = inputs["row"][: self._ranked]
        texts = split(inputs["texts"], len(self._columns.texts))
        moment = inputs["timestamp"]
        columns = {
            "item_id": self._ids[rows],
            **self._named(self._columns.texts, texts),
            **self._named(self._columns.numbers, list(inputs["numbers"])),
            **promotions_at(self._promotions, rows, moment),
        }
        encoded = self._encoding.transform(with_age(columns, moment))
        return {"row": rows, "ids": encoded.ids, "numbers": encoded.dense}

    def _named(self, names: Sequence[str], values: Sequence[np.ndarray]) -> Tensors:
        return {name: column[: self._ranked] for name, column in zip(names, values, strict=True)}


class EmbeddingLookup:
    """Text embeddings of the candidates, and their embeddings by the ranker's item tower.

    In the place of the case study's text and image embeddings; both are computed beforehand.
    """

    def __init__(self, texts: Rows, vectors: Rows) -> None:
        self._texts = texts
        self._vectors = vectors

    @classmethod
    def load(cls, options: Options) -> "EmbeddingLookup":
        """Reads the text embeddings, and embeds all items where the release has not."""
        texts = Rows.load(options.file(TEXT_EMBEDDINGS))
        items = read_columns(options.file(ITEMS))
        return cls(texts, item_vectors(model_folders(options)[RANKER_TOWER], items, texts))

    def run(self, inputs: Tensors) -> Tensors:
        """`text` float32 [n, t] and `vector` float32 [n, d] of the `row`s."""
        rows = inputs["row"]
        return {"text": self._texts[rows], "vector": self._vectors[rows]}
