"""Which assets a pipeline has to materialize, and which are up to date.

An asset is up to date when it is materialized for every day of the range by the code version of
today, under the same settings, after everything it is made from, and no blocking check of it
failed. `make demo` run twice, or again after a crash, then does only what is left.
"""

from collections.abc import Iterable, Mapping, Sequence

import dagster as dg
from dagster._core.definitions.assets.graph.base_asset_graph import BaseAssetGraph
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus

_CODE_VERSION = "dagster/code_version"


def assets_to_materialize(
    definitions: dg.Definitions,
    instance: dg.DagsterInstance,
    days: Sequence[str],
    tags: Mapping[str, str],
) -> list[dg.AssetKey]:
    """Keys of the assets that are not up to date, each after those it depends on.

    Args:
        definitions: the asset graph.
        instance: where materializations are recorded.
        days: partition keys that a daily asset must have.
        tags: run tags that name the settings; an asset made under others is made again.
    """
    graph = definitions.resolve_asset_graph()
    stale: list[dg.AssetKey] = []
    newest: dict[dg.AssetKey, int] = {}
    for key in graph.toposorted_asset_keys:
        node = graph.get(key)
        latest = instance.get_latest_materialization_event(key)
        upstream = [parent for parent in node.parent_keys if parent != key]
        made = _storage_id(instance, key)
        newest[key] = made
        current = (
            latest is not None
            and not any(parent in stale or newest[parent] > made for parent in upstream)
            and _tag(latest, _CODE_VERSION) == (node.code_version or _tag(latest, _CODE_VERSION))
            and _same_settings(instance, latest, tags)
            and (node.partitions_def is None or _has_days(instance, key, days))
            and not _blocked(instance, graph, key)
        )
        if not current:
            stale.append(key)
    return stale


def _storage_id(instance: dg.DagsterInstance, key: dg.AssetKey) -> int:
    records = instance.fetch_materializations(key, limit=1).records
    return records[0].storage_id if records else -1


def _tag(latest: dg.EventLogEntry, name: str) -> str | None:
    materialization = latest.asset_materialization
    return (materialization.tags or {}).get(name) if materialization else None


def _same_settings(
    instance: dg.DagsterInstance, latest: dg.EventLogEntry, tags: Mapping[str, str]
) -> bool:
    run = instance.get_run_by_id(latest.run_id)
    return run is not None and all(run.tags.get(name) == value for name, value in tags.items())


def _has_days(instance: dg.DagsterInstance, key: dg.AssetKey, days: Iterable[str]) -> bool:
    return set(days) <= instance.get_materialized_partitions(key)


def _blocked(instance: dg.DagsterInstance, graph: BaseAssetGraph, key: dg.AssetKey) -> bool:
    checks = [
        check
        for check in graph.asset_check_keys
        if check.asset_key == key and graph.get(check).blocking
    ]
    latest = instance.event_log_storage.get_latest_asset_check_execution_by_key(checks)
    return any(
        record.status == AssetCheckExecutionRecordStatus.FAILED for record in latest.values()
    )
