"""Monitoring assets. Wiring only: one plain module of this folder each."""

import time
from dataclasses import asdict
from datetime import timedelta
from typing import Any

import dagster as dg
import pyarrow as pa

from recsys_assets.defs.code_version import code_version
from recsys_assets.defs.configuration import config_fields
from recsys_assets.defs.graph.features.assets import column_lineage
from recsys_assets.defs.graph.monitoring.sensors import CORRECT_DAYS
from recsys_assets.defs.monitoring_resources import AnswerStream, Attribution
from recsys_assets.defs.partitions import all_days_of, daily, days_of
from recsys_assets.defs.resources import StoreResource
from recsys_assets.features.declarations import USER_FEATURES
from recsys_assets.monitoring.loading import LABELLED_DAYS, SERVED_DAYS
from recsys_assets.monitoring.thresholds import BusinessThresholds, DriftThresholds
from recsys_assets.settings import load_settings
from recsys_assets.terminal.figures import as_markdown

_GROUP = "monitoring"
_OWNERS = ["team:ml-platform"]
_SINGLE_RUN = dg.BackfillPolicy.single_run()
# First and last day, before that of an outcome, of the answers whose window closes on it.
_ATTRIBUTION = timedelta(hours=load_settings().attribution_hours)
_ANSWERED_BEFORE = (-(-_ATTRIBUTION // timedelta(days=1)), _ATTRIBUTION // timedelta(days=1))


_ANSWERED = ("request_id", "release", "user_id", "timestamp", "degraded", "item_ids", "scores")
_SHOWN = [("request_log", "item_ids")]
_RANKED = [("request_log", "candidate_ids"), ("request_log", "candidate_scores")]
_BOUGHT = [("interactions", name) for name in ("item_id", "timestamp", "event")]
_SPENT = [("interactions", name) for name in ("quantity", "price", "discount")]
_OUTCOME_SOURCES = {
    **{name: [("request_log", name)] for name in _ANSWERED},
    "relevant": _BOUGHT,
    "purchased": _SHOWN + _BOUGHT,
    "clicked": _SHOWN + _BOUGHT,
    "impressions": _SHOWN,
    "orders": [("interactions", "session_id")],
    "revenue": _SPENT,
    "attributed_revenue": _SHOWN + _SPENT,
    "ndcg_at_10": _SHOWN + _BOUGHT,
    "recall_at_10": _SHOWN + _BOUGHT,
    "auc": _RANKED + _BOUGHT,
    "labelled_candidates": _RANKED[:1] + _BOUGHT,
}


def _is_correction(context: dg.AssetExecutionContext) -> bool:
    """Whether days are measured again as their events have changed, and not for another reason."""
    return context.run.job_name == CORRECT_DAYS


def _schema(columns: pa.Schema) -> dg.TableSchema:
    described = USER_FEATURES.descriptions
    return dg.TableSchema(
        [
            dg.TableColumn(field.name, str(field.type), described.get(field.name))
            for field in columns
        ]
    )


def _log_metadata(columns: pa.Schema) -> dict[str, Any]:
    """Features and attributes are those that were served; all else is the answer's own."""
    from recsys_assets.monitoring.request_log import COLUMNS

    tables = dict.fromkeys(USER_FEATURES.columns, USER_FEATURES.name)
    sources = {
        name: [(tables.get(name, "user_attributes"), name)]
        for name in columns.names
        if name not in COLUMNS.names
    }
    return {
        "dagster/column_schema": _schema(columns),
        "dagster/column_lineage": column_lineage(sources),
    }


def _declared_log() -> dict[str, Any]:
    from recsys_assets.monitoring.request_log import with_features

    return _log_metadata(with_features(USER_FEATURES.columns))


@dg.asset(
    group_name=_GROUP,
    owners=_OWNERS,
    kinds={"valkey", "parquet"},
    code_version=code_version("recsys_assets.monitoring.request_log"),
    partitions_def=daily,
    backfill_policy=_SINGLE_RUN,
    deps=["promoted_release"],
    description=(
        "Every answer of a day: the user's context as the models were given it, release, "
        "candidates, scores and positions. Moved from the stream that the servers write to; "
        "late answers join their day when it is materialized again."
    ),
    metadata=_declared_log(),
)
def request_log(
    context: dg.AssetExecutionContext, store: StoreResource, answer_stream: AnswerStream
) -> None:
    """Collects the answers to requests of the run's days."""
    from recsys_assets.monitoring.request_log import schema

    collector, columns = answer_stream.collector(store.get()), schema(store.get())
    for day in sorted(context.partition_keys):
        collected = collector.collect(day)
        context.log.info(f"{day}: {collected.new} new answers, {collected.waiting} of other days")
        metadata = {
            "dagster/partition_row_count": collected.rows,
            "dagster/uri": store.get().table("request_log").path(day),
            **_log_metadata(columns),
            **asdict(collected),
            "unknown_columns": list(collected.unknown_columns),
        }
        context.add_asset_metadata(metadata, context.asset_key, day)


def _outcome_columns() -> dg.TableSchema:
    from recsys_assets.monitoring.outcomes import SCHEMA

    return _schema(SCHEMA)


@dg.asset(
    group_name=_GROUP,
    owners=_OWNERS,
    kinds={"python", "parquet"},
    code_version=code_version("recsys_assets.monitoring.outcomes"),
    partitions_def=daily,
    backfill_policy=_SINGLE_RUN,
    deps=[
        days_of("request_log", *_ANSWERED_BEFORE),
        all_days_of("interactions"),  # which tell a first purchase from a repeated one
    ],
    description=(
        "What became of the answers whose attribution window closed on the day: what was bought, "
        "clicked and earned, and the slate's quality. So a partition speaks of earlier sessions."
    ),
    metadata={
        "dagster/column_schema": _outcome_columns(),
        "dagster/column_lineage": column_lineage(_OUTCOME_SOURCES),
    },
)
def outcomes(
    context: dg.AssetExecutionContext, store: StoreResource, attribution: Attribution
) -> None:
    """Joins answers with what followed them."""
    from recsys_assets.monitoring import outcomes as module

    for day in sorted(context.partition_keys):
        rows = module.outcomes(store.get(), day, attribution.hours)
        store.get().table("outcomes").write(rows, day)
        metadata = {
            "dagster/partition_row_count": rows.num_rows,
            "dagster/uri": store.get().table("outcomes").path(day),
            "about_days": ", ".join(module.days_judged(day, attribution.hours)),
            "attribution_hours": attribution.hours,
        }
        context.add_asset_metadata(metadata, context.asset_key, day)


@dg.asset(
    group_name=_GROUP,
    owners=_OWNERS,
    kinds={"python"},
    code_version=code_version("recsys_assets.monitoring.business"),
    partitions_def=daily,
    backfill_policy=_SINGLE_RUN,
    deps=[days_of("outcomes", BusinessThresholds().history_days)],
    config_schema=config_fields(BusinessThresholds),
    description=(
        "Conversion, revenue and quality of the sessions whose attribution window closed on the "
        "day, beside the days before, with alerts where a bound says that a metric fell."
    ),
)
def business_metrics(
    context: dg.AssetExecutionContext, store: StoreResource, attribution: Attribution
) -> None:
    """Measures outcomes."""
    from recsys_assets.monitoring import business
    from recsys_assets.monitoring.plots import plot_business
    from recsys_assets.monitoring.report_tables import BUSINESS, business_row

    thresholds = BusinessThresholds(**context.op_execution_context.op_config)
    for day in sorted(context.partition_keys):
        measured = business.measure(store.get(), day, attribution.hours, thresholds)
        store.get().table(BUSINESS).write(business_row(measured.metrics), day)
        plot = as_markdown(plot_business(measured.metrics, measured.history), "business metrics")
        metadata = {
            **measured.metadata(),
            "plot": dg.MetadataValue.md(plot),
            "correction": _is_correction(context),
        }
        context.add_asset_metadata(metadata, context.asset_key, day)


@dg.asset(
    group_name=_GROUP,
    owners=_OWNERS,
    kinds={"python", "evidently"},
    code_version=code_version(
        "recsys_assets.monitoring.drift", "recsys_assets.monitoring.evidently_report"
    ),
    partitions_def=daily,
    backfill_policy=_SINGLE_RUN,
    deps=[
        days_of("request_log", SERVED_DAYS),
        days_of("outcomes", LABELLED_DAYS),
        "catalogue_history",
        # The reference are the last days that the live release was trained on, whenever that was.
        *map(all_days_of, ("interactions", "item_features", "user_features")),
    ],
    config_schema=config_fields(DriftThresholds),
    description=(
        "How far a day's traffic is from the training span of the live release: PSI of every "
        "served feature and of what was bought, KL of the scores, missing and unknown values, and "
        "AUC and calibration on the labels that became known. Alerts by revenue at risk. A day "
        "that is put right is measured against the release that it was measured against before."
    ),
)
def drift_report(
    context: dg.AssetExecutionContext, store: StoreResource, attribution: Attribution
) -> None:
    """Measures drift and writes the Evidently report."""
    from recsys_assets.monitoring import drift
    from recsys_assets.monitoring.evidently_report import write_report
    from recsys_assets.monitoring.plots import plot_signals
    from recsys_assets.monitoring.report_tables import DRIFT, drift_row, measured_against
    from recsys_assets.releases.release import Releases

    thresholds = DriftThresholds(**context.op_execution_context.op_config)
    tables, again = store.get(), _is_correction(context)
    releases = Releases(tables)
    for day in sorted(context.partition_keys):
        started = time.monotonic()
        release = measured_against(tables, releases, day) if again else None
        report = drift.measure(tables, releases, day, thresholds, attribution.hours, release)
        measured = time.monotonic() - started
        tables.table(DRIFT).write(drift_row(report), day)
        metadata = {
            **report.metadata(),
            "report": dg.MetadataValue.url(write_report(tables, report)),
            "signals": dg.MetadataValue.md(as_markdown(plot_signals(report), "signals")),
            "seconds_to_measure": round(measured, 1),
            "seconds": round(time.monotonic() - started, 1),
            "correction": again,
        }
        context.log.info(f"{day}: {metadata['state']} {metadata['cause']}")
        context.add_asset_metadata(metadata, context.asset_key, day)
