"""Changes of the live release that no run of the graph has reported, as events in its lineage.

A person's promotion or rollback is no run, and a run whose promotion is taken back again fails
without a materialization. Each of these is a change all the same.
"""

import dagster as dg

from recsys_assets.releases.release import Promoted, Releases

LIVE_RELEASE = dg.AssetKey("promoted_release")
_NUMBER = "change"
_DATA_VERSION = "dagster/data_version"


def report_changes(
    instance: dg.DagsterInstance, releases: Releases, before: int | None = None
) -> list[Promoted]:
    """Records every change after the last one that the lineage has; returns them.

    Each becomes a materialization of `promoted_release` with who made it and why.

    Args:
        instance: holds the lineage.
        releases: hold the changes.
        before: number of a change that a run is about to report itself, as the last one.
    """
    reported = _last_reported(instance)
    missing = [
        change
        for change in releases.history()
        if reported < change.number and (before is None or change.number < before)
    ]
    for change in missing:
        instance.report_runless_asset_event(
            dg.AssetMaterialization(
                LIVE_RELEASE,
                description=f"{change.action} by {change.by}: {change.cause}",
                metadata=change.as_metadata(),
                tags={_DATA_VERSION: str(change.release)},
            )
        )
    return missing


def _last_reported(instance: dg.DagsterInstance) -> int:
    """Number of the last change in the lineage, 0 if there is none."""
    event = instance.get_latest_materialization_event(LIVE_RELEASE)
    if event is None or event.asset_materialization is None:
        return 0
    number = event.asset_materialization.metadata.get(_NUMBER)
    return int(str(number.value)) if number is not None else 0
