"""What each user has bought, by value of each item attribute. Runs in both environments.

A first-time purchase of an item is mostly a purchase from a category, of a maker, that the user
knows. User ids alone let a model learn that slowly, and by heart. So both models are given the
counts: the query tower as a profile over one attribute, the ranker as the affinity of the user
for each attribute of the candidate. Training sees them as of the example's snapshot; a model
holds those of its last day, in `tastes.npz`, and they stand until the next release, as its item
features do.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recsys_assets.features.encoding import UNKNOWN, ModelEncoding
from recsys_assets.models.item_history import ItemHistory

_DAY = 86_400
_DAYS = np.int64(1) << 16  # more than any day number
_PROFILE = "category_l2"
_FILE = "tastes.npz"


@dataclass(frozen=True)
class Purchases:
    """Purchases of known users and items, sorted by user, then day.

    Attributes:
        user: int64 [n], row in the vocabulary of user ids, from 1 on.
        day: int64 [n], days since the epoch.
        values: int32 [n, attributes], rows in the vocabularies of the item attributes.
        attributes: their names, in the order of the encoding, the item id not among them.
        sizes: rows of their vocabularies.
        users: rows of the vocabulary of user ids.
    """

    user: np.ndarray
    day: np.ndarray
    values: np.ndarray
    attributes: tuple[str, ...]
    sizes: tuple[int, ...]
    users: int

    @classmethod
    def from_table(
        cls, events: pa.Table, encoding: ModelEncoding, history: ItemHistory
    ) -> "Purchases":
        """From rows of `interactions`; unknown users and items are left out.

        What was bought of products withdrawn since tells as much of a user as it did then.
        """
        catalogued = history.ever_catalogued
        users = encoding.query.vocabularies["user_id"]
        known = pa.array(users.values, pa.string())
        events = events.filter(pc.equal(events.column("event"), "purchase"))
        user = pc.index_in(events.column("user_id"), value_set=known)
        catalogue = pa.array(catalogued["item_id"], pa.string())
        item = pc.index_in(events.column("item_id"), value_set=catalogue)
        kept = pc.and_(pc.is_valid(user), pc.is_valid(item))
        rows = pc.filter(user, kept).to_numpy().astype(np.int64) + 1
        items = pc.filter(item, kept).to_numpy()
        seconds = pc.divide(events.column("timestamp").cast(pa.int64()), 1_000_000)
        day = pc.filter(seconds, kept).to_numpy() // _DAY
        order = np.argsort(rows * _DAYS + day, kind="stable")
        names = tuple(name for name in encoding.item.vocabularies if name != "item_id")
        values = np.stack(
            [encoding.item.vocabularies[n].encode(catalogued[n]) for n in names], axis=1
        )
        sizes = tuple(len(encoding.item.vocabularies[name]) for name in names)
        return cls(rows[order], day[order], values[items[order]], names, sizes, len(users))


class PurchaseCountHistory:
    """Counts as of any moment, for training: purchases of days before the moment's."""

    def __init__(self, purchases: Purchases) -> None:
        self._purchases = purchases
        self._by_day = purchases.user * _DAYS + purchases.day
        self._starts = np.searchsorted(self._by_day, np.arange(purchases.users + 1) * _DAYS)
        self._profile = _profile_column(purchases.attributes)
        self._pairs = [
            np.sort((purchases.user * size + values) * _DAYS + purchases.day)
            for values, size in zip(purchases.values.T, purchases.sizes, strict=True)
        ]

    @property
    def profile_width(self) -> int:
        """Width of a profile."""
        return self._purchases.sizes[self._profile]

    @property
    def affinity_width(self) -> int:
        """Width of an affinity."""
        return 2 * len(self._pairs)

    def profiles(self, user: np.ndarray, moments: np.ndarray) -> np.ndarray:
        """Profiles float32 [n, width] of user rows [n] as of epoch seconds [n]."""
        width = self.profile_width
        starts = self._starts[user]
        ends = np.searchsorted(self._by_day, user * _DAYS + moments // _DAY)
        lengths = np.where(user == UNKNOWN, 0, ends - starts)
        owner = np.repeat(np.arange(len(user)), lengths)
        within = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        values = self._purchases.values[starts[owner] + within, self._profile]
        counts = np.bincount(owner * width + values, minlength=len(user) * width)
        return _profile(counts.reshape(len(user), width))

    def affinities(self, user: np.ndarray, values: np.ndarray, moments: np.ndarray) -> np.ndarray:
        """Affinities float32 [n, width] of user rows [n] for attribute values [n, attributes]."""
        day = moments // _DAY
        total = np.searchsorted(self._by_day, user * _DAYS + day) - self._starts[user]
        counts = np.empty(values.shape, dtype=np.int64)
        for column, (keys, size) in enumerate(zip(self._pairs, self._purchases.sizes, strict=True)):
            first = (user * size + values[:, column]) * _DAYS
            counts[:, column] = np.searchsorted(keys, first + day) - np.searchsorted(keys, first)
        return _affinity(np.where(values == UNKNOWN, 0, counts), total)


class PurchaseCounts:
    """Counts as of a model's last day, for inference.

    Args:
        counts: per attribute, CSR arrays `starts`, `values`, `counts` over user rows.
        sizes: per attribute, rows of its vocabulary.
    """

    def __init__(
        self, counts: Mapping[str, tuple[np.ndarray, ...]], sizes: Mapping[str, int]
    ) -> None:
        self._counts = dict(counts)
        self._sizes = dict(sizes)
        # For requests: the counts of all attributes side by side, one row a user.
        self._offsets = np.cumsum([0, *(self._sizes[name] for name in self._counts)])
        self._starts, self._columns, self._times = _side_by_side(self._counts, self._offsets)
        starts, _, times = next(iter(self._counts.values()))
        self._totals = np.diff(np.concatenate([[0], np.cumsum(times, dtype=np.int64)])[starts])
        profile = _profile_column(tuple(self._counts))
        self._profile = slice(self._offsets[profile], self._offsets[profile + 1])

    @classmethod
    def of(cls, purchases: Purchases) -> "PurchaseCounts":
        """Of all purchases."""
        counts = {}
        for name, values, size in zip(
            purchases.attributes, purchases.values.T, purchases.sizes, strict=True
        ):
            keys, times = np.unique(purchases.user * size + values, return_counts=True)
            starts = np.searchsorted(keys, np.arange(purchases.users + 1) * size)
            counts[name] = (starts, (keys % size).astype(np.int32), times.astype(np.int32))
        return cls(counts, dict(zip(purchases.attributes, purchases.sizes, strict=True)))

    def save(self, folder: Path) -> None:
        """Writes `tastes.npz`."""
        arrays = {
            f"{part}/{name}": array
            for name, csr in self._counts.items()
            for part, array in zip(("starts", "values", "counts"), csr, strict=True)
        }
        names = np.array(list(self._counts))
        sizes = np.array(list(self._sizes.values()))
        everything: dict[str, Any] = {"names": names, "sizes": sizes, **arrays}
        np.savez_compressed(folder / _FILE, **everything)

    @classmethod
    def load(cls, folder: Path) -> "PurchaseCounts":
        """Reads what `save` wrote.

        Raises:
            FileNotFoundError: the folder has no `tastes.npz`.
        """
        with np.load(folder / _FILE, allow_pickle=False) as stored:
            names = stored["names"].tolist()
            counts = {
                name: tuple(stored[f"{part}/{name}"] for part in ("starts", "values", "counts"))
                for name in names
            }
            return cls(counts, dict(zip(names, stored["sizes"].tolist(), strict=True)))

    def profiles(self, user: np.ndarray) -> np.ndarray:
        """Profiles float32 [n, width] of user rows [n]; zero for the unknown user."""
        return _profile(self._dense(user)[:, self._profile])

    def affinities(self, user: np.ndarray, values: np.ndarray, owner: np.ndarray) -> np.ndarray:
        """Affinities of users for items.

        Args:
            user: user rows [n].
            values: attribute values of items, int [m, attributes].
            owner: for each item, whose affinity is asked for: positions in `user`, int64 [m].

        Returns:
            float32 [m, width].
        """
        counts = self._dense(user)[owner[:, None], self._offsets[:-1] + values]
        total = np.where(user == UNKNOWN, 0, self._totals[user])[owner]
        return _affinity(np.where(values == UNKNOWN, 0, counts), total)

    def _dense(self, user: np.ndarray) -> np.ndarray:
        """Counts int64 [n, all values of all attributes] of user rows [n]."""
        dense = np.zeros((len(user), self._offsets[-1]), dtype=np.int64)
        for row, one in enumerate(user.tolist()):
            if one != UNKNOWN:
                part = slice(self._starts[one], self._starts[one + 1])
                dense[row, self._columns[part]] = self._times[part]
        return dense


def renew(folder: Path, events: pa.Table, history: ItemHistory) -> None:
    """Gives the model in `folder` the counts of all purchases among `events`.

    Its vocabularies stay: purchases by users that it does not know are left out.

    Args:
        folder: holds `encoding.json`; its `tastes.npz` is replaced.
        events: rows of `interactions`.
        history: knows the items' attributes.
    """
    counted(folder, events, history).save(folder)


def counted(folder: Path, events: pa.Table, history: ItemHistory) -> PurchaseCounts:
    """The counts that `renew` gives a model, without changing it."""
    encoding = ModelEncoding.load(folder / "encoding.json")
    return PurchaseCounts.of(Purchases.from_table(events, encoding, history))


def _side_by_side(
    counts: Mapping[str, tuple[np.ndarray, ...]], offsets: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """One CSR matrix (starts, columns, counts) of several with the same rows."""
    users = np.concatenate(
        [np.repeat(np.arange(len(starts) - 1), np.diff(starts)) for starts, _, _ in counts.values()]
    )
    columns = np.concatenate(
        [values + offset for (_, values, _), offset in zip(counts.values(), offsets, strict=False)]
    )
    times = np.concatenate([times for _, _, times in counts.values()])
    order = np.argsort(users, kind="stable")
    starts = sum(starts for starts, _, _ in counts.values())
    return np.asarray(starts), columns[order], times[order]


def _profile_column(attributes: Sequence[str]) -> int:
    """The attribute that profiles are over: the second category level, else the first."""
    return attributes.index(_PROFILE) if _PROFILE in attributes else 0


def _profile(counts: np.ndarray) -> np.ndarray:
    """Logarithms of counts [n, width], without the unknown value, scaled to unit length."""
    logs = np.log1p(counts).astype(np.float32)
    logs[:, UNKNOWN] = 0.0
    return logs / np.maximum(np.linalg.norm(logs, axis=1, keepdims=True), 1e-6)


def _affinity(counts: np.ndarray, total: np.ndarray) -> np.ndarray:
    """Logarithm and share of counts [n, attributes] out of `total` purchases [n], scaled to ~1."""
    shares = counts / np.maximum(total, 1)[:, None]
    return np.concatenate([np.log1p(counts) / 3.0, np.sqrt(shares) * 4.0], axis=1).astype(
        np.float32
    )
