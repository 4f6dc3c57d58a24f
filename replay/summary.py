"""`var/replay/summary.json`: what a replay has shown, read back from where it is recorded."""

import json
import os
from collections.abc import Iterator
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

import dagster as dg

from recsys_assets.defs.graph.monitoring.sensors import materializations_since, metadata_of
from recsys_assets.releases.release import Releases
from recsys_assets.settings import Settings
from recsys_assets.storage import Store
from recsys_assets.storage.filesystem import read_bytes, write_atomically
from replay import experiments, plot
from replay.daemon import ACTING_ON_REPORTS
from replay.quality import by_week, labelled_quality
from replay.record import read_days

_BUSINESS = (
    "about_day",
    "sessions",
    "ctr",
    "conversion",
    "revenue_per_session",
    "average_order_value",
    "revenue_per_thousand_recommendations",
)


def write_summary(settings: Settings, instance: dg.DagsterInstance, first_release: int) -> Path:
    """Sums up the days that are done, and draws them; returns the path of the summary."""
    store = Store(settings.storage_url)
    folder = settings.home / "replay"
    days = read_days(store)
    quality = labelled_quality(store, [record.day for record in days])
    drift = _daily(instance, "drift_report")
    triggers = sorted(_triggers(settings, instance), key=lambda trigger: trigger["partition"])
    found = read_bytes(f"{folder.as_uri()}/{experiments.FILE}")
    summary = {
        "days": len(days),
        "first_day": days[0].day if days else None,
        "last_day": days[-1].day if days else None,
        "first_release": first_release,
        "requests": sum(record.requests for record in days),
        "failed_requests": sum(record.failed for record in days),
        "wrong_release_requests": sum(record.wrong_release for record in days),
        "degraded_requests": sum(record.degraded for record in days),
        "seconds": round(sum(record.seconds for record in days)),
        "triggers": triggers,
        "releases": _releases(store),
        "quality": by_week(quality),
        "business": {
            day: {name: values[name] for name in _BUSINESS if name in values}
            for day, values in _daily(instance, "business_metrics").items()
        },
        **(json.loads(found) if found else {"control": None, "shocks": None}),
        "by_day": [asdict(record) for record in days],
        "machine": {"cores": os.cpu_count()},
    }
    path = folder / "summary.json"
    write_atomically(path.as_uri(), json.dumps(summary, indent=2, default=str).encode())
    if quality:
        picture = plot.plot_replay(quality, drift, triggers)
        write_atomically((folder / "replay.png").as_uri(), picture)
    return path


def _daily(instance: dg.DagsterInstance, asset: str) -> dict[str, dict[str, Any]]:
    """Metadata values of each partition's newest materialization, by day."""
    records = materializations_since(instance, dg.AssetKey(asset), 0)
    return {one.partition_key: dict(metadata_of(one)) for one in records if one.partition_key}


def _triggers(settings: Settings, instance: dg.DagsterInstance) -> Iterator[dict[str, Any]]:
    for job in ACTING_ON_REPORTS:
        for run in instance.get_runs(dg.RunsFilter(job_name=job)):
            if run.is_complete_and_waiting_to_retry:
                continue
            candidate = _candidate(instance, run.run_id)
            release = candidate.get("release")
            yield {
                "day": run.tags.get("recsys/cause_day", ""),
                "cause": run.tags.get("recsys/cause", ""),
                "partition": run.tags.get("dagster/partition", ""),
                "run_id": run.run_id,
                "job": job,
                "outcome": _outcome(run, candidate),
                "release": release,
                "seconds_to_serving": _seconds_to_serving(settings, instance, run, release),
            }


def _candidate(instance: dg.DagsterInstance, run_id: str) -> dict[str, Any]:
    """Metadata of the candidate that a run made."""
    records = instance.get_records_for_run(
        run_id, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION
    ).records
    for record in records:
        made = record.asset_materialization
        if made is not None and made.asset_key == dg.AssetKey("release_candidate"):
            return {name: value.value for name, value in made.metadata.items()}
    return {}


def _outcome(run: dg.DagsterRun, candidate: dict[str, Any]) -> str:
    if candidate.get("verdict") == "rejected":
        return f"rejected: {candidate['reason']}"
    return "promoted" if run.is_success else run.status.value.lower()


def _seconds_to_serving(
    settings: Settings, instance: dg.DagsterInstance, run: dg.DagsterRun, release: int | None
) -> float | None:
    """From the report that was acted on to the first answer of the release that came of it."""
    url = f"{settings.home.as_uri()}/replay/first_answers/{release}"
    answered, report = read_bytes(url), run.tags.get("recsys/report")
    if answered is None or report is None:
        return None
    asset = dg.AssetKey(_REPORTED_BY.get(run.tags.get("recsys/requested_by", ""), "drift_report"))
    wanted = dg.AssetRecordsFilter(asset, storage_ids=[int(report)])
    records = instance.fetch_materializations(wanted, 1).records
    if not records:
        return None
    return round(datetime.fromisoformat(answered.decode()).timestamp() - records[0].timestamp, 1)


_REPORTED_BY = {"business_sensor": "business_metrics", "business_guard": "business_metrics"}


def _releases(store: Store) -> list[dict[str, Any]]:
    """Every release with its verdict, and when it was live."""
    releases = Releases(store)
    changes = releases.history()
    return [
        {
            "release": number,
            "base_release": manifest["base_release"],
            "trained_through": manifest["trained_through"],
            "data_through": manifest["item_features_day"],
            "cause": manifest["cause"],
            "rejected": releases.rejection(number),
            "promoted_at": [c.promoted_at for c in changes if c.release == number],
        }
        for number in releases.numbers()
        for manifest in [releases.manifest(number)]
    ]
