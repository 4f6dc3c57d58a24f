"""Feast's DuckDB store, with a point-in-time join whose work grows with the rows alone.

Feast's own joins each row with every earlier snapshot of its keys, then drops all but the last:
twice the history costs four times the work. DuckDB's ASOF join sorts both sides and walks them
once. The views are Feast's, and a test compares the two joins value by value; everything else is
Feast's own code. Named by class path in `feature_repo/offline_stores/duckdb.yaml`.
"""

from typing import Any

import ibis  # type: ignore[import-untyped]
import pandas as pd
from feast import FeatureView, RepoConfig
from feast.infra.offline_stores.duckdb import DuckDBOfflineStore, DuckDBOfflineStoreConfig
from feast.infra.offline_stores.offline_store import RetrievalJob
from feast.infra.offline_stores.offline_utils import infer_event_timestamp_from_entity_df


class UnsupportedView(ValueError):
    """A view is declared or asked for in a way that this join does not know."""

    def __init__(self, view: str, what: str) -> None:
        super().__init__(
            f"feature view {view!r}: the point-in-time join of AsOfOfflineStore knows no {what}; "
            "leave it out of feature_repo/definitions.py or the call, or teach the join"
        )


class AsOfOfflineStoreConfig(DuckDBOfflineStoreConfig):
    """Feast's DuckDB settings under this store's name."""

    type: str = f"{__name__}.AsOfOfflineStore"


class AsOfOfflineStore(DuckDBOfflineStore):
    """DuckDB over Parquet, in this process."""

    @staticmethod
    def get_historical_features(
        config: RepoConfig,
        feature_views: list[FeatureView],
        feature_refs: list[str],
        entity_df: pd.DataFrame,
        *more: Any,
        **options: Any,
    ) -> RetrievalJob:
        """Feast's job, with each row's last values that are not later than it joined as of.

        Raises:
            UnsupportedView: a view, or the call, renames keys or columns.
        """
        job = DuckDBOfflineStore.get_historical_features(
            config, feature_views, feature_refs, entity_df, *more, **options
        )
        timestamp = infer_event_timestamp_from_entity_df(dict(entity_df.dtypes))
        rows = entities = ibis.memtable(entity_df)
        for view in feature_views:
            if job.full_feature_names:
                raise UnsupportedView(view.name, "full feature names")
            prefix = f"{view.projection.name_to_use()}:"
            names = [ref.removeprefix(prefix) for ref in feature_refs if ref.startswith(prefix)]
            rows = _with_last_values(rows, entities, timestamp, view, names)
        job.table = rows  # nothing of Feast's own join has run yet
        return job


def _with_last_values(
    rows: Any, entities: Any, timestamp: str, view: FeatureView, names: list[str]
) -> Any:
    """`rows` with the columns `names` of the view, null where nothing is known or all expired."""
    source = view.batch_source
    known_at, keys = source.timestamp_field, [column.name for column in view.entity_columns]
    for what, declared in (
        ("field mapping", source.field_mapping),
        ("created timestamp", source.created_timestamp_column),
        ("join key map", view.projection.join_key_map),
    ):
        if declared:
            raise UnsupportedView(view.name, what)
    snapshots = ibis.read_parquet(source.path).select(*keys, *names, _known_at=known_at)
    # Of few rows, such as those of a day, few snapshots are sorted.
    snapshots = snapshots.semi_join(entities, keys)
    joined = rows.asof_join(
        snapshots,
        on=rows[timestamp] >= snapshots["_known_at"],
        predicates=[rows[key] == snapshots[key] for key in keys],
    )
    values = {name: joined[name] for name in names}
    if view.ttl:
        is_valid = joined["_known_at"] + ibis.interval(view.ttl) >= joined[timestamp]
        values = {name: is_valid.ifelse(value, None) for name, value in values.items()}
    return joined.select(*rows.columns, **values)
