"""Which assets a pipeline has to materialize, and which are up to date.

An asset is up to date when it is materialized for every day of the range by the code version of
today, under the same settings, after everything it is made from, and its blocking checks passed:
one that broke, or whose run was killed before it, did not. `make demo` run twice, or again after a
crash, then does only what is left; what a person or the daemon has promoted since then stays
promoted.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import dagster as dg

# Dagster 1.13 exports neither the type of a graph nor that of a check's outcome.
from dagster._core.definitions.assets.graph.base_asset_graph import BaseAssetGraph
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus

from recsys_assets.defs.resources import TODAY_TAG
from recsys_assets.settings import Settings

_CODE_VERSION = "dagster/code_version"


def assets_to_materialize(
    definitions: dg.Definitions,
    job: str,
    instance: dg.DagsterInstance,
    days: Sequence[str],
    tags: Mapping[str, str],
) -> list[dg.AssetKey]:
    """Keys of a job's assets that are not up to date, each after those it depends on.

    Args:
        definitions: the asset graph.
        job: name of an asset job.
        instance: where materializations are recorded.
        days: partition keys that a daily asset must have.
        tags: run tags that name the settings; an asset made under others is made again.
    """
    graph = definitions.resolve_asset_graph()
    stale: list[dg.AssetKey] = []
    newest: dict[dg.AssetKey, int] = {}
    selected = definitions.resolve_job_def(job).asset_layer.selected_asset_keys
    for key in graph.toposorted_asset_keys:
        if key not in selected:
            continue
        node = graph.get(key)
        latest = instance.get_latest_materialization_event(key)
        upstream = [parent for parent in node.parent_keys if parent in newest]
        partitioned = node.partitions_def is not None
        made = _newest_of_days(instance, key, days) if partitioned else _newest(instance, key)
        newest[key] = made
        current = (
            latest is not None
            and not any(parent in stale or newest[parent] > made for parent in upstream)
            and _made_alike(instance, latest, node.code_version, tags)
            and (not partitioned or _has_days(instance, key, days))
            and _passed(instance, graph, key, latest)
        )
        if not current:
            stale.append(key)
    return stale


def as_begun(
    settings: Settings, job: str, instance: dg.DagsterInstance, tags: Mapping[str, str]
) -> Settings:
    """The settings, on live data with yesterday's today if a run of then is to be gone on with.

    What a killed or failed run has made in the evening would else count for nothing after midnight.
    Older ones are not gone on with: a first release should not begin its life days behind.

    Args:
        settings: of the deployment.
        job: its name.
        instance: where runs are recorded.
        tags: of runs on the same data.
    """
    yesterday = settings.history_through
    filters = dg.RunsFilter(job_name=job, tags={**tags, TODAY_TAG: yesterday.isoformat()})
    last = next(iter(instance.get_runs(filters, limit=1)), None)
    if not settings.today_follows_clock or last is None or last.is_success:
        return settings
    return replace(settings, today=yesterday, today_follows_clock=False)


def _newest(instance: dg.DagsterInstance, key: dg.AssetKey) -> int:
    """Storage id of the latest materialization, -1 if there is none."""
    records = instance.fetch_materializations(key, limit=1).records
    return records[0].storage_id if records else -1


def _newest_of_days(instance: dg.DagsterInstance, key: dg.AssetKey, days: Sequence[str]) -> int:
    """Of the days that count: days after them come in all the time and make nothing stale."""
    found = instance.event_log_storage.get_latest_storage_id_by_partition(
        key, dg.DagsterEventType.ASSET_MATERIALIZATION, set(days)
    )
    return max(found.values(), default=-1)


def _tag(latest: dg.EventLogEntry, name: str) -> str | None:
    materialization = latest.asset_materialization
    return (materialization.tags or {}).get(name) if materialization else None


def _made_alike(
    instance: dg.DagsterInstance,
    latest: dg.EventLogEntry,
    code_version: str | None,
    tags: Mapping[str, str],
) -> bool:
    """Whether the code of today made it, under the same settings.

    What no run has made, such as a rollback by hand, stands as it is. A run that the daemon starts
    names no settings: it goes on from assets that do.
    """
    if not latest.run_id:
        return True
    run = instance.get_run_by_id(latest.run_id)
    return (
        code_version in (None, _tag(latest, _CODE_VERSION))
        and run is not None
        and all(run.tags.get(name, value) == value for name, value in tags.items())
    )


def _has_days(instance: dg.DagsterInstance, key: dg.AssetKey, days: Iterable[str]) -> bool:
    return set(days) <= instance.get_materialized_partitions(key)


def _passed(
    instance: dg.DagsterInstance,
    graph: BaseAssetGraph,
    key: dg.AssetKey,
    latest: dg.EventLogEntry,
) -> bool:
    """Whether no blocking check failed, nor was left without a verdict by the run that made it.

    A check that raised an error, or whose run was killed before it, stays planned for ever.
    """
    checks = [
        check
        for check in graph.asset_check_keys
        if check.asset_key == key and graph.get(check).blocking
    ]
    records = instance.event_log_storage.get_latest_asset_check_execution_by_key(checks).values()
    return not any(
        record.status is AssetCheckExecutionRecordStatus.FAILED
        or (
            record.status is AssetCheckExecutionRecordStatus.PLANNED
            and record.run_id == latest.run_id
        )
        for record in records
    )
