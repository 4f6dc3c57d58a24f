"""The rolling evaluation as an asset: candidate sources and their ranker over the latest weeks.

It belongs to no job: it is materialized by whoever changes a source, an input or the ranker.
"""

import json
from datetime import timedelta

import dagster as dg

from recsys_assets.defs.code_version import code_version
from recsys_assets.defs.resources import RunDays, StoreResource
from recsys_assets.terminal.figures import as_markdown


class RollingConfig(dg.Config):
    """Of the asset `rolling_evaluation`."""

    weeks: int = 4


@dg.asset(
    group_name="evaluation",
    owners=["team:ml"],
    code_version=code_version(
        "recsys_assets.evaluation.rolling",
        "recsys_assets.evaluation.rolling_report",
        "recsys_assets.evaluation.source_report",
        "recsys_assets.evaluation.baselines",
    ),
    kinds={"python", "lightgbm"},
    deps=["interactions", "items", "item_promotions"],
    description=(
        "The united candidate sources, ordered by boosted trees that learned from the weeks "
        "before, beside every baseline fitted before each week: the latest whole weeks, with "
        "intervals over customers, by segment and department, whether predicted probabilities are "
        "those of purchases, and what each source brings."
    ),
)
def rolling_evaluation(
    context: dg.AssetExecutionContext,
    store: StoreResource,
    run_days: RunDays,
    config: RollingConfig,
) -> dg.MaterializeResult:
    """Measures every method on the latest whole weeks, each fitted on what came before it."""
    from recsys_assets.defs import plots
    from recsys_assets.evaluation import rolling, rolling_report, source_report
    from recsys_assets.evaluation.baselines import BASELINES
    from recsys_assets.settings.days import days_between

    days = run_days.get()
    through = days.needed_through
    shop = rolling.load_shop(store.get(), days_between(days.first_day, through))
    weeks = rolling.RollingWeeks(shop, log=context.log.info)
    ago = range(config.weeks, 0, -1)
    asked = [through - timedelta(days=rolling.WEEK_DAYS * number - 1) for number in ago]
    measured = []
    for first_day in asked:
        slates = weeks.slates(first_day, BASELINES)
        week = weeks.week(first_day)
        predictions = weeks.predictions(first_day)
        measured.append(rolling_report.measure(shop, first_day, week.split, slates, predictions))
        context.log.info(f"{len(measured)} of {len(asked)} weeks measured")
    sources = source_report.source_figures(weeks.declared, week, slates[rolling.PIPELINE])
    figures = rolling_report.summarise(measured, rolling.PIPELINE)
    table = rolling_report.as_markdown(figures, rolling.PIPELINE)
    png = plots.plot_rolling_weeks(figures["by_week"], rolling.PIPELINE)
    calibration = figures["calibration"]
    reliability = plots.plot_calibration(calibration["bins"], "calibration", scale="log")
    with store.get().artifact("rolling_evaluation").new_version() as draft:
        (draft.path / "figures.json").write_text(json.dumps({**figures, "sources": sources}))
        (draft.path / "figures.md").write_text(table + "\n")
        (draft.path / "weeks.png").write_bytes(png)
        (draft.path / "calibration.png").write_bytes(reliability)
    against = figures["against_best_peer"][rolling_report.BEST_BY]
    return dg.MaterializeResult(
        metadata={
            "weeks": dg.MetadataValue.json(figures["weeks"]),
            "requests": figures["requests"],
            "ndcg_at_10": figures["methods"][rolling.PIPELINE]["ndcg_at_10"]["mean"],
            "best_peer": against["peer"],
            "difference_to_best_peer": against["difference"]["mean"],
            "table": dg.MetadataValue.md(table),
            "sources_in_the_last_week": dg.MetadataValue.md(source_report.as_markdown(sources)),
            "plot": dg.MetadataValue.md(as_markdown(png, "rolling evaluation")),
            "expected_calibration_error": calibration["expected_calibration_error"]["mean"],
            "calibration": dg.MetadataValue.md(as_markdown(reliability, "calibration")),
        }
    )


@dg.asset_check(
    asset="rolling_evaluation",
    description="NDCG@10 of the pipeline over the weeks is above every baseline's, and the paired "
    "interval of the difference to the best excludes 0.",
)
def better_than_every_baseline_each_week(store: StoreResource) -> dg.AssetCheckResult:
    """Warns where the sources and their ranker are not worth their cost."""
    folder = store.get().artifact("rolling_evaluation").fetch()
    against = json.loads((folder / "figures.json").read_text())["against_best_peer"]
    low = {name: one["difference"]["low"] for name, one in against.items()}
    return dg.AssetCheckResult(
        passed=low["ndcg_at_10"] > 0,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={
            "best_peer": against["ndcg_at_10"]["peer"],
            "lower_limits_of_differences": dg.MetadataValue.json(low),
        },
    )
