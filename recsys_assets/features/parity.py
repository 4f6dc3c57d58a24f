"""Compares what training would read with what serving reads, value by value.

What training would read, as of any moment of history, is its own point-in-time join.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from recsys_assets.features.declarations import ITEM_FEATURES, ITEM_PROMOTIONS, USER_FEATURES
from recsys_assets.features.reader import OnlineUserFeatures
from recsys_assets.features.training_examples import join_features
from recsys_assets.storage import Store

if TYPE_CHECKING:
    from feast import FeatureStore

_NAMED = 10
_BATCH = 500
VIEWS = {
    "user": ("user_attributes", USER_FEATURES.name),
    "item": ("item_attributes", ITEM_FEATURES.name, ITEM_PROMOTIONS.name),
}
KEYS = {"user": USER_FEATURES.key, "item": ITEM_FEATURES.key}


@dataclass
class Parity:
    """Counts of compared and different values, and the first differences in words."""

    compared: int = 0
    different: int = 0
    examples: list[str] = field(default_factory=list)

    def compare(self, name: str, ids: Sequence[str], left: list[Any], right: list[Any]) -> None:
        """Adds one column: two lists of values of the same entities."""
        for entity, a, b in zip(ids, left, right, strict=True):
            self.compared += 1
            if not _same(a, b):
                self.different += 1
                if len(self.examples) < _NAMED:
                    self.examples.append(f"{name} of {entity}: offline {a!r}, online {b!r}")


def offline_online_parity(
    feature_store: "FeatureStore", entity: str, ids: Sequence[str], moment: datetime
) -> Parity:
    """Offline values as of a moment against Feast's online values.

    Args:
        feature_store: An opened store.
        entity: `user` or `item`.
        ids: Whom to compare.
        moment: The moment through which the online store was materialized.
    """
    offline = features_as_of(feature_store, entity, ids, moment)
    parity = Parity()
    references = feature_references(feature_store, entity)
    for start in range(0, len(ids), _BATCH):
        some = list(ids[start : start + _BATCH])
        rows = [{KEYS[entity]: value} for value in some]
        online = feature_store.get_online_features(references, rows).to_dict()
        for name in offline.column_names[1:]:
            expected = offline.column(name).slice(start, len(some)).to_pylist()
            parity.compare(name, some, expected, online[name])
    return parity


def offline_reader_parity(
    offline: pa.Table, reader: OnlineUserFeatures, ids: Sequence[str]
) -> Parity:
    """Offline values of users against those that served models read without Feast.

    Args:
        offline: Result of `features_as_of` for these users.
        reader: Of the columns to compare.
        ids: User ids, in the order of `offline`.
    """
    parity = Parity()
    online: Mapping[str, np.ndarray] = reader.read(list(ids))
    for name, values in online.items():
        seen = [None if _is_missing(value) else value for value in values.tolist()]
        parity.compare(name, ids, offline.column(name).to_pylist(), seen)
    return parity


def sampled_parity(
    feature_store: "FeatureStore",
    reader: OnlineUserFeatures,
    store: Store,
    moment: datetime,
    count: int,
    seed: int = 0,
) -> Parity:
    """All values of up to `count` users and `count` items, over every way to read them.

    Args:
        feature_store: An opened store.
        reader: Of all user columns.
        store: Where `user_features`, `item_features` and the attribute tables are.
        moment: The moment through which the online store was materialized.
        count: Entities of each kind.
        seed: Of the sampling.
    """
    total = Parity()
    for entity in VIEWS:
        known = _known_ids(store, entity, moment)
        ids = _sample(known, count, seed)
        parts = [offline_online_parity(feature_store, entity, ids, moment)]
        if entity == "user":
            offline = features_as_of(feature_store, entity, ids, moment)
            parts.append(offline_reader_parity(offline, reader, ids))
        for part in parts:
            total.compared += part.compared
            total.different += part.different
            total.examples = (total.examples + part.examples)[:_NAMED]
    return total


def _sample(ids: list[str], count: int, seed: int) -> list[str]:
    chosen = np.random.default_rng(seed).permutation(len(ids))[:count]
    return [ids[row] for row in chosen]


def _known_ids(store: Store, entity: str, moment: datetime) -> list[str]:
    """Everybody of whom anything was known at the moment, sorted."""
    attributes, activity = (store.table(view) for view in VIEWS[entity][:2])
    key = KEYS[entity]
    days = [day for day in activity.days() if day < moment.date().isoformat()]
    parts = [attributes.read(columns=[key]), *([activity.read(days, [key])] if days else [])]
    return sorted(set(pa.concat_tables(parts)[key].to_pylist()))


def _is_missing(value: object) -> bool:
    return value == "" or (isinstance(value, float) and math.isnan(value))


def _same(a: object, b: object) -> bool:
    if isinstance(a, float) and isinstance(b, float) and math.isnan(a):
        return math.isnan(b)
    return a == b


def feature_references(feature_store: "FeatureStore", entity: str) -> list[str]:
    """All `view:feature` of `user` or `item`.

    Raises:
        ValueError: there is no such entity.
    """
    if entity not in VIEWS:
        raise ValueError(f"entity {entity!r} is unknown: use one of {', '.join(VIEWS)}")
    return [
        f"{view}:{feature.name}"
        for view in VIEWS[entity]
        for feature in feature_store.get_feature_view(view).features
    ]


def features_as_of(
    feature_store: "FeatureStore", entity: str, ids: Sequence[str], moment: datetime
) -> pa.Table:
    """What was known of some users or items at a moment.

    Args:
        feature_store: An opened store whose registry holds the views.
        entity: `user` or `item`.
        ids: Their ids; an id that nothing was known of has nulls.
        moment: With a time zone.

    Returns:
        One row per id in the given order: the id, then every feature.

    Raises:
        ValueError: the entity is unknown, an id comes twice or the moment has no time zone.
    """
    if moment.tzinfo is None:
        raise ValueError(f"moment {moment.isoformat()} has no time zone: add one, such as +00:00")
    if len(set(ids)) != len(ids):
        raise ValueError("an id comes twice: give each once")
    key = KEYS.get(entity, "")
    references = feature_references(feature_store, entity)
    entities = pa.table(
        {
            key: pa.array(ids, pa.string()),
            "event_timestamp": pa.array([moment] * len(ids), pa.timestamp("us", tz="UTC")),
        }
    )
    joined = join_features(feature_store, entities, references).drop_columns("event_timestamp")
    row_of = {value: row for row, value in enumerate(joined[key].to_pylist())}
    names = [key, *(reference.split(":")[1] for reference in references)]
    return joined.take([row_of[value] for value in ids]).select(names)
