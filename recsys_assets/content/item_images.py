"""From delivered pictures to the table `item_image_embeddings`; each distinct one is encoded once.

A picture whose file has not been replaced since the last run is not even read: its state tells.
What is new is read twice, first for its digest and then, unless the cache has its vector, for its
pixels, so that no more than a few pictures are in memory. Nor is the table: it is written by
shards of the cache.
"""

import hashlib
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recsys_assets.content.cache import SHARDS, VectorCache, shard_of
from recsys_assets.content.encoder import embeddings_to_arrow
from recsys_assets.content.image_encoder import ImageEncoder
from recsys_assets.content.neighbours import contact_sheet
from recsys_assets.content.pictures import BROKEN, FAULTS, Delivery, PictureFault, digest, square
from recsys_assets.runtime.pace import Progress, silent
from recsys_assets.storage import Store, Table

TABLE = "item_image_embeddings"
_VECTOR = pa.list_(pa.float32())
SCHEMA = pa.schema(
    [
        ("item_id", pa.string()),
        ("image", pa.string()),
        ("image_version", pa.string()),
        ("image_sha256", pa.string()),
        ("embedding", _VECTOR),
        ("fault", pa.string()),
        ("reason", pa.string()),
    ]
)
_READERS = 8  # of files of at most `pictures.MAX_BYTES`
_DECODERS = 2  # of pictures of at most `pictures.MAX_PIXELS`
_AT_ONCE = 64
_SHOWN = 1_000  # pictures among which neighbours are shown
_EXAMPLES = 20
_Given = TypeVar("_Given")
_Made = TypeVar("_Made")


@dataclass(frozen=True)
class ItemImages:
    """What was written.

    `faults` counts items by kind, and `examples` are some of them: item, image, kind, reason.
    `contact_sheet` is a PNG of some pictures with those nearest to them, if any is embedded.
    `digest` changes with the table. Without any image there is no encoder.
    """

    items: int
    embedded: int = 0
    pictures: int = 0
    newly_encoded: int = 0
    seconds: float = 0.0
    faults: Mapping[str, int] = field(default_factory=dict)
    examples: Sequence[tuple[str, str, str, str]] = ()
    encoder: ImageEncoder | None = None
    contact_sheet: bytes | None = None
    digest: str = "none"

    @property
    def with_image(self) -> int:
        """Items that name an image."""
        return self.embedded + sum(self.faults.values())


def embed_item_images(
    store: Store,
    delivery_url: str | None,
    open_encoder: Callable[[], ImageEncoder],
    progress: Progress = silent,
) -> ItemImages:
    """Writes `item_image_embeddings`: one row for each row of `items` that names an image.

    A row has an embedding of unit norm, or the fault of its picture with the reason.

    Args:
        store: holds the tables and the cache.
        delivery_url: the folder that paths of images are relative to.
        open_encoder: called if there are images.
        progress: counts distinct images.

    Raises:
        MissingWeights: there are images, and the encoder is not installed.
        ValueError: there are images, and no folder of a delivery.
        StorageUnavailable: the store of the delivery does not answer.
    """
    items = store.table("items").read(columns=["item_id", "image"])
    named = items.filter(pc.not_equal(pc.fill_null(items["image"], ""), ""))
    if not len(named):
        store.table(TABLE).write(SCHEMA.empty_table())
        return ItemImages(len(items))
    if delivery_url is None:
        raise ValueError(
            f"{len(named)} items name an image, and the source has no folder of pictures: set "
            "RECSYS_SOURCE=parquet and RECSYS_SOURCE_URL as when 'items' was materialized"
        )
    started = time.monotonic()
    owners: dict[str, list[str]] = defaultdict(list)
    for item_id, image in zip(*(named[name].to_pylist() for name in SCHEMA.names[:2]), strict=True):
        owners[image].append(item_id)
    encoder = open_encoder()
    run = _Run(store, Delivery.look(delivery_url, owners), encoder, owners, progress)
    store.table(TABLE).write_all(SCHEMA, run.parts())
    return ItemImages(
        items=len(items),
        embedded=run.embedded,
        pictures=len({content.digest for content in run.contents.values()}),
        newly_encoded=run.newly_encoded,
        seconds=time.monotonic() - started,
        faults=run.count_faults(),
        examples=run.examples(),
        encoder=encoder,
        contact_sheet=run.contact_sheet(),
        digest=run.whole.hexdigest()[:16],
    )


@dataclass(frozen=True)
class _Content:
    path: str
    version: str
    digest: str


class _Run:
    """The parts of the table, and what is found on the way."""

    def __init__(
        self,
        store: Store,
        delivery: Delivery,
        encoder: ImageEncoder,
        owners: Mapping[str, Sequence[str]],
        progress: Progress,
    ) -> None:
        self._delivery = delivery
        self._encoder = encoder
        self._owners = owners
        self._progress = progress
        self._cache = VectorCache(store, "image_embeddings", "image_sha256", encoder.version)
        self._known = _known(store.table(TABLE))
        self._faults: dict[str, PictureFault] = {}
        self.contents: dict[str, _Content] = {}
        self.embedded = 0
        self.newly_encoded = 0
        self._shown: dict[str, np.ndarray] = {}
        self.whole = hashlib.sha256(encoder.version.encode())

    def parts(self) -> Iterator[pa.Table]:
        """The rows with embeddings, by shards, then those without."""
        self.contents = self._usable(self._content, list(self._owners), _READERS)
        done = len(self._faults)
        for shard in SHARDS:
            images = [
                image for image, one in self.contents.items() if shard_of(one.digest) == shard
            ]
            vectors = self._vectors(shard, images, done)
            done += len(images)
            self._progress(done, len(self._owners))
            good = [image for image in images if image not in self._faults]
            if good:
                yield self._embedded(good, vectors)
        if self._faults:
            yield self._unusable()

    def count_faults(self) -> dict[str, int]:
        """Items by the kind of fault of their picture, all kinds."""
        found = Counter[str](dict.fromkeys(FAULTS, 0))
        for image, fault in self._faults.items():
            found[fault.kind] += len(self._owners[image])
        return dict(found)

    def examples(self) -> list[tuple[str, str, str, str]]:
        """Some of them: item, image, kind, reason."""
        some = sorted(self._faults.items())[:_EXAMPLES]
        return [(self._owners[image][0], image, one.kind, one.reason) for image, one in some]

    def contact_sheet(self) -> bytes | None:
        """Some pictures with those nearest to them; one that went meanwhile is white."""
        if not self._shown:
            return None
        images = sorted(self._shown)  # alike ones often lie in one folder: lines of many kinds

        def picture(row: int) -> np.ndarray:
            found = self._usable(self._square, [images[row]], 1)
            white = np.full((self._encoder.size, self._encoder.size, 3), 255, np.uint8)
            return found.get(images[row], white)

        return contact_sheet(np.stack([self._shown[image] for image in images]), picture)

    def _content(self, image: str) -> _Content:
        path, state = self._delivery.find(image)
        name = self._known.get((image, state.version)) or digest(self._delivery.read(path))
        return _Content(path, state.version, name)

    def _usable(
        self, make: Callable[[str], _Made], images: Sequence[str], threads: int
    ) -> dict[str, _Made]:
        """What is made of each image; a fault is noted, and the image left out."""

        def attempt(image: str) -> _Made | PictureFault:
            try:
                return make(image)
            except PictureFault as fault:
                return fault

        found = {}
        with ThreadPoolExecutor(threads) as pool:
            for start in range(0, len(images), _AT_ONCE):
                some = images[start : start + _AT_ONCE]
                for image, made in zip(some, pool.map(attempt, some), strict=True):
                    if isinstance(made, PictureFault):
                        self._faults[image] = made
                    else:
                        found[image] = made
        return found

    def _vectors(self, shard: str, images: Sequence[str], done: int) -> dict[str, np.ndarray]:
        """Vectors of a shard by digest; what the cache lacks is encoded and added to it."""
        vectors = self._cache.read(shard) if images else {}
        before = len(vectors)
        missing = {self.contents[image].digest: image for image in images}
        missing = {name: image for name, image in missing.items() if name not in vectors}
        waiting = list(missing.values())
        for start in range(0, len(waiting), _AT_ONCE):
            squares = self._usable(self._square, waiting[start : start + _AT_ONCE], _DECODERS)
            names = [self.contents[image].digest for image in squares]
            vectors |= zip(names, self._encoder.encode(list(squares.values())), strict=True)
            self._progress(done + start, len(self._owners))
        if len(vectors) > before:
            self._cache.write(shard, vectors)
            self.newly_encoded += len(vectors) - before
        for image in images:  # several may have one content, of which one was tried
            name = self.contents[image].digest
            if name not in vectors:
                self._faults[image] = self._faults[missing[name]]
        return vectors

    def _square(self, image: str) -> np.ndarray:
        content = self.contents[image]
        data = self._delivery.read(content.path)
        if digest(data) != content.digest:
            raise PictureFault(BROKEN, "it was replaced while it was read: the next run takes it")
        return square(data, self._encoder.size)

    def _embedded(self, images: Sequence[str], vectors: Mapping[str, np.ndarray]) -> pa.Table:
        rows = [(item_id, image) for image in images for item_id in self._owners[image]]
        contents = [self.contents[image] for _, image in rows]
        found = np.stack([vectors[content.digest] for content in contents])
        self.embedded += len(rows)
        for image in images[: _SHOWN - len(self._shown)]:
            self._shown[image] = vectors[self.contents[image].digest]
        digests = [content.digest for content in contents]
        return self._part(
            rows,
            digests,
            embedding=embeddings_to_arrow(found).cast(_VECTOR),
            image_sha256=pa.array(digests),
            image_version=pa.array([content.version for content in contents]),
        )

    def _unusable(self) -> pa.Table:
        rows = [(item_id, image) for image in self._faults for item_id in self._owners[image]]
        faults = [self._faults[image] for _, image in rows]
        kinds = [one.kind for one in faults]
        return self._part(
            rows,
            kinds,
            fault=pa.array(kinds),
            reason=pa.array([one.reason for one in faults]),
        )

    def _part(
        self, rows: Sequence[tuple[str, str]], names: Sequence[str], **columns: pa.Array
    ) -> pa.Table:
        """Rows of items and images; `names` of what is in them go into the table's digest."""
        for (item_id, _), name in zip(rows, names, strict=True):
            self.whole.update(f"{item_id}\0{name}\n".encode())
        columns["item_id"] = pa.array([item_id for item_id, _ in rows])
        columns["image"] = pa.array([image for _, image in rows])
        nulls = {one.name: pa.nulls(len(rows), one.type) for one in SCHEMA}
        return pa.table({**nulls, **columns}, schema=SCHEMA)


def _known(table: Table) -> dict[tuple[str, str], str]:
    """Digests of the last run by image and version of its file."""
    if not table.has():
        return {}
    rows = table.read(columns=["image", "image_version", "image_sha256"])
    rows = rows.filter(pc.is_valid(rows["image_sha256"]))
    names = zip(rows["image"].to_pylist(), rows["image_version"].to_pylist(), strict=True)
    return dict(zip(names, rows["image_sha256"].to_pylist(), strict=True))
