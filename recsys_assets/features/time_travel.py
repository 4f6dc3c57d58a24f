"""Features as of any moment of history, by the point-in-time join that training uses."""

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

import pyarrow as pa

from recsys_assets.features.declarations import ITEM_FEATURES, ITEM_PROMOTIONS, USER_FEATURES
from recsys_assets.features.training_examples import join_features

if TYPE_CHECKING:
    from feast import FeatureStore

VIEWS = {
    "user": ("user_attributes", USER_FEATURES.name),
    "item": ("item_attributes", ITEM_FEATURES.name, ITEM_PROMOTIONS.name),
}
KEYS = {"user": USER_FEATURES.key, "item": ITEM_FEATURES.key}


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
