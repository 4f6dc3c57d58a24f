"""Which input columns each feature column comes from, read off the declarations."""

import re

from recsys_assets.events.contract import CATALOGUE_HISTORY, INTERACTIONS
from recsys_assets.features.declarations import (
    Feature,
    FeatureSet,
    LastDayRatio,
    PlannedValue,
    Ratio,
    WindowAggregate,
)
from recsys_assets.features.spark_batch import CATEGORY

Sources = list[tuple[str, str]]
_TEXT = re.compile(r"'[^']*'")
_WORD = re.compile(r"[a-z_][a-z0-9_]*")


def column_sources(features: FeatureSet) -> dict[str, Sources]:
    """For each column of the set's table: (asset, column) pairs that it is computed from."""
    direct = {
        column: _sources(features, feature)
        for feature in features.features
        if not isinstance(feature, Ratio)
        for column in _all_columns(feature)
    }
    for ratio in features.of(Ratio):
        parts = direct[ratio.numerator] + direct[ratio.denominator]
        direct[ratio.name] = sorted(set(parts))
    published = {name: direct[name] for name in features.columns}
    if features.of(PlannedValue):
        moments = [("promotions", name) for name in ("valid_from", "valid_to")]
        key = [("promotions", features.key)]
        return {features.key: key, "event_timestamp": moments, **published}
    key = [("interactions", features.key)]
    return {features.key: key, "event_timestamp": [("interactions", "timestamp")], **published}


def _all_columns(feature: Feature) -> list[str]:
    if isinstance(feature, WindowAggregate):
        return [feature.column(window) for window in feature.windows]
    return list(feature.columns)


def _sources(features: FeatureSet, feature: Feature) -> Sources:
    if isinstance(feature, PlannedValue):
        return [("promotions", name) for name in (feature.name, "valid_from", "valid_to")]
    expressions = [getattr(feature, "where", "")]
    if isinstance(feature, WindowAggregate):
        expressions.append(feature.expression)
    elif isinstance(feature, LastDayRatio):
        expressions += [feature.numerator, feature.denominator]
    words = set(_WORD.findall(_TEXT.sub("", " ".join(expressions))))
    used = words & set(INTERACTIONS.names) | {features.key, "timestamp"}
    return sorted(
        [("interactions", name) for name in used]
        + [(CATALOGUE_HISTORY.table, name) for name in words & {CATEGORY}]
    )
