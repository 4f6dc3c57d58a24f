"""Evaluation assets. The protocol is in `split.py`, the metrics in `metrics.py`.

Their checks: the protocol was kept, and the models are worth serving.
"""

import time

import dagster as dg

from recsys_assets.defs.code_version import code_version
from recsys_assets.defs.resources import RunDays, StoreResource, VectorIndex
from recsys_assets.runtime.pace import paced
from recsys_assets.terminal.figures import as_markdown

GATED = "two_stage"
_GATES = ("recall_at_10", "ndcg_at_10")


def _lineage(**columns: list[tuple[str, str]]) -> dg.TableColumnLineage:
    return dg.TableColumnLineage(
        {
            column: [dg.TableColumnDep(dg.AssetKey(asset), name) for asset, name in sources]
            for column, sources in columns.items()
        }
    )


_SLATES = dg.TableSchema(
    columns=[
        dg.TableColumn("method", "string", description="name of the baseline"),
        dg.TableColumn("user_id", "string", description="household that asks"),
        dg.TableColumn("item_ids", "list<string>", description="what it is shown, best first"),
    ]
)


_MODELS = {"two_tower", "two_stage"}
_EVENTS = [("interactions", name) for name in ("user_id", "item_id", "timestamp", "event")]
_SLATES_LINEAGE = _lineage(
    user_id=[("interactions", "user_id")], item_ids=[("items", "item_id"), *_EVENTS]
)


@dg.asset(
    group_name="evaluation",
    owners=["team:ml"],
    code_version=code_version(
        "recsys_assets.evaluation.baselines",
        "recsys_assets.slates",
        "recsys_assets.evaluation.split",
    ),
    kinds={"python", "parquet"},
    deps=["interactions", "items"],
    description=(
        "Top 300 of every baseline for every household that asks in the evaluated days: "
        "popularity, popularity of 28 days, item-item cosine, ALS and EASE. They learn from the "
        "same history, rank the same catalogue and leave out the same seen items as the models."
    ),
    metadata={"dagster/column_schema": _SLATES, "dagster/column_lineage": _SLATES_LINEAGE},
)
def baselines(
    context: dg.AssetExecutionContext, store: StoreResource, run_days: RunDays
) -> dg.MaterializeResult:
    """Fits the baselines and writes their slates to the table `baselines`."""
    from recsys_assets.evaluation.baselines import BASELINES
    from recsys_assets.evaluation.slate_table import to_arrow
    from recsys_assets.evaluation.split import load_split
    from recsys_assets.slates import rank

    days = run_days.get()
    split = load_split(store.get(), days)
    slates, seconds = {}, {}
    for name, baseline in BASELINES.items():
        started = time.monotonic()
        progress = paced(context.log.info, f"households ranked by {name}")
        scorer = baseline(split)
        slates[name] = rank(scorer, split.requests.seen, split.purchases, progress=progress)
        seconds[name] = time.monotonic() - started
        done = f"{len(slates)} of {len(BASELINES)} baselines"
        context.log.info(f"{done}: {name} in {seconds[name]:.1f} s")
    table = to_arrow(slates, split)
    store.get().table("baselines").write(table)
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": len(table),
            "households": len(split.requests),
            "households_in_history": split.history.shape[0],
            "distinct_pairs_in_history": split.history.nnz,
            "catalogue": len(split.item_ids),
            "relevant_items": split.requests.relevant.nnz,
            "relevant_outside_catalogue": split.outside_catalogue,
            "history": f"{days.first_day} to {days.train_through}",
            "evaluated": f"{days.evaluation_from} to {days.evaluation_through}",
            "seconds": dg.MetadataValue.json({k: round(v, 1) for k, v in seconds.items()}),
            "dagster/column_schema": _SLATES,
            "dagster/column_lineage": _SLATES_LINEAGE,
        },
    )


_TABLE = dg.TableSchema(
    columns=[
        dg.TableColumn("method", "string", description="model or baseline"),
        dg.TableColumn("segment", "string", description="whom, or which items, it is about"),
        dg.TableColumn("requests", "int64", description="households in the segment"),
        dg.TableColumn("relevant_items", "int64", description="first-time purchases of theirs"),
        *(
            dg.TableColumn(f"{metric}{suffix}", "double", description=f"{what}{limit}")
            for metric, what in {
                "recall_at_10": "share of a household's relevant items in its top 10, mean",
                "recall_at_100": "the same in its top 100",
                "recall_at_300": "the same in its top 300",
                "ndcg_at_10": "normalised discounted cumulative gain of the top 10, mean",
            }.items()
            for suffix, limit in {
                "": "",
                "_low": ", lower limit of the 95 % bootstrap interval",
                "_high": ", upper limit",
            }.items()
        ),
        dg.TableColumn("pooled_recall_at_10", "double", description="hits over all purchases"),
        dg.TableColumn("pooled_recall_at_100", "double", description="the same in the top 100"),
        dg.TableColumn("coverage_at_10", "double", description="catalogue share in any top 10"),
    ]
)


_FIGURES = [column.name for column in _TABLE.columns if "_at_" in column.name]


_TABLE_LINEAGE = _lineage(
    method=[("baselines", "method")],
    segment=_EVENTS,
    requests=_EVENTS,
    relevant_items=_EVENTS,
    **{name: [("baselines", "item_ids"), ("items", "item_id"), *_EVENTS] for name in _FIGURES},
)


@dg.asset(
    group_name="evaluation",
    owners=["team:ml"],
    code_version=code_version(
        "recsys_assets.evaluation.models",
        "recsys_assets.evaluation.report",
        "recsys_assets.evaluation.split",
    ),
    kinds={"python", "parquet"},
    deps=[
        "interactions",
        "items",
        "baselines",
        "user_features",
        "item_features",
        "item_promotions",
        "item_text_embeddings",
        "two_tower",
        "item_embeddings",
        "item_index",
        "dlrm",
        "boosted_ranker",
    ],
    description=(
        "Retrieval alone and the two stages together, beside the baselines, on the first-time "
        "purchases of the evaluated days: recall, NDCG and coverage over the whole catalogue, by "
        "segment, with 95 % bootstrap intervals over households."
    ),
    metadata={"dagster/column_schema": _TABLE, "dagster/column_lineage": _TABLE_LINEAGE},
)
def evaluation(
    context: dg.AssetExecutionContext,
    store: StoreResource,
    run_days: RunDays,
    vector_index: VectorIndex,
) -> dg.MaterializeResult:
    """Asks the exported models the evaluation's requests and measures every method."""
    from recsys_assets.defs import plots
    from recsys_assets.evaluation import report
    from recsys_assets.evaluation.models import model_slates
    from recsys_assets.evaluation.slate_table import from_arrow, to_arrow
    from recsys_assets.evaluation.split import load_split

    storage, days = store.get(), run_days.get()
    split = load_split(storage, days)
    models = model_slates(storage, split, days, vector_index.kind, context.log.info)
    storage.table("model_slates").write(to_arrow(models.slates, split))
    slates = from_arrow(storage.table("baselines").read(), split) | models.slates
    table = report.evaluate(slates, split)
    storage.table("evaluation").write(table)
    png = plots.plot_evaluation(table, _MODELS)
    overview = report.as_markdown(table)
    with storage.artifact("evaluation_report").new_version() as draft:
        (draft.path / "evaluation.md").write_text(overview + "\n")
        (draft.path / "evaluation.png").write_bytes(png)
    two_stage = next(row for row in table.to_pylist() if row["method"] == "two_stage")
    comparison = report.comparison_as_markdown(report.compare("two_stage", slates, split))
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": len(table),
            "recall_at_10": two_stage["recall_at_10"],
            "recall_at_100": two_stage["recall_at_100"],
            "ndcg_at_10": two_stage["ndcg_at_10"],
            "coverage_at_10": two_stage["coverage_at_10"],
            "households": len(split.requests),
            "evaluated": f"{days.evaluation_from} to {days.evaluation_through}",
            "relevant_items": split.requests.relevant.nnz,
            "candidates_after_seen_items": dg.MetadataValue.json(models.candidates_left),
            "plot": dg.MetadataValue.md(as_markdown(png, "evaluation")),
            "table": dg.MetadataValue.md(overview),
            "two_stage_against_each": dg.MetadataValue.md(comparison),
            "segments": dg.MetadataValue.md(report.segments_as_markdown(table)),
            "versions": dg.MetadataValue.json(models.versions),
            "dagster/column_schema": _TABLE,
            "dagster/column_lineage": _TABLE_LINEAGE,
        },
    )


def _figures(store: StoreResource) -> dict[str, dict[str, float]]:
    """Method -> its row of the evaluation table over all requests."""
    rows = store.get().table("evaluation").read().to_pylist()
    return {row["method"]: row for row in rows if row["segment"] == "all"}


def _slates_keep_the_protocol(
    store: StoreResource, run_days: RunDays, table: str
) -> dg.AssetCheckResult:
    from recsys_assets.evaluation.slate_table import from_arrow
    from recsys_assets.evaluation.split import load_split
    from recsys_assets.slates import slate_faults

    split = load_split(store.get(), run_days.get())
    slates = from_arrow(store.get().table(table).read(), split)
    faults = {name: slate_faults(shown, split.requests.seen) for name, shown in slates.items()}
    return dg.AssetCheckResult(
        passed=not any(sum(counts.values()) for counts in faults.values()),
        metadata={"faults": faults, "households": len(split.requests)},
    )


@dg.asset_check(
    asset="baselines",
    blocking=True,
    description="No slate holds a seen item, an item twice or a gap; every household has one.",
)
def baselines_keep_the_protocol(store: StoreResource, run_days: RunDays) -> dg.AssetCheckResult:
    """Blocks a comparison with baselines that played by other rules."""
    return _slates_keep_the_protocol(store, run_days, "baselines")


@dg.asset_check(
    asset="training_examples",
    additional_deps=[
        "baselines",
        "item_text_embeddings",
        "item_promotions",
        "online_features",
        "seen_items",
    ],
    blocking=True,
    description="All else that a release needs is there, the baselines of the same requests among "
    "it. Training takes the longest, so it begins last, and not in vain.",
)
def training_can_begin(store: StoreResource, run_days: RunDays) -> dg.AssetCheckResult:
    """Blocks trainings whose models could be neither measured nor released."""
    from recsys_assets.evaluation.slate_table import StaleSlates, from_arrow
    from recsys_assets.evaluation.split import load_split

    split = load_split(store.get(), run_days.get())
    try:
        baselines = from_arrow(store.get().table("baselines").read(), split)
    except StaleSlates as error:
        return dg.AssetCheckResult(passed=False, description=str(error))
    return dg.AssetCheckResult(
        passed=True, metadata={"households": len(split.requests), "baselines": list(baselines)}
    )


@dg.asset_check(
    asset="evaluation",
    blocking=True,
    description="The models' slates hold no seen item, no item twice and no gap.",
)
def models_keep_the_protocol(store: StoreResource, run_days: RunDays) -> dg.AssetCheckResult:
    """Blocks figures of models that were shown more than they may see."""
    return _slates_keep_the_protocol(store, run_days, "model_slates")


@dg.asset_check(
    asset="evaluation",
    blocking=True,
    description="Every metric lies within 0 and 1, and within its interval.",
)
def metrics_are_shares(store: StoreResource) -> dg.AssetCheckResult:
    """Blocks figures that cannot be."""
    from recsys_assets.evaluation.report import implausible

    found = implausible(store.get().table("evaluation").read())
    return dg.AssetCheckResult(passed=not found, metadata={"implausible": found})


@dg.asset_check(
    asset="evaluation",
    blocking=True,
    description="recall@10 and NDCG@10 of the two stages are above those of popularity.",
)
def better_than_popularity(store: StoreResource) -> dg.AssetCheckResult:
    """Blocks a release that knows less than a list of bestsellers."""
    figures = _figures(store)
    ours, theirs = figures[GATED], figures["popularity"]
    lost = [
        f"{gate} {ours[gate]:.4f} against {theirs[gate]:.4f}"
        for gate in _GATES
        if not ours[gate] > theirs[gate]
    ]
    return dg.AssetCheckResult(
        passed=not lost,
        description=f"the models are no better than a list of bestsellers: {', '.join(lost)}; "
        "let them learn from more days (an earlier RECSYS_FIRST_DAY), or wait for more customers"
        if lost
        else None,
        metadata={
            gate: dg.MetadataValue.json({GATED: ours[gate], "popularity": theirs[gate]})
            for gate in _GATES
        },
    )


@dg.asset_check(
    asset="evaluation",
    description="recall@10 and NDCG@10 of the two stages are above those of every baseline.",
)
def better_than_every_baseline(store: StoreResource) -> dg.AssetCheckResult:
    """Warns, and names the baselines that win."""
    figures = _figures(store)
    ours = figures[GATED]
    baselines = sorted(set(figures) - {GATED, "two_tower"})
    losing = {
        name: {gate: figures[name][gate] - ours[gate] for gate in _GATES}
        for name in baselines
        if any(figures[name][gate] >= ours[gate] for gate in _GATES)
    }
    return dg.AssetCheckResult(
        passed=not losing,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={"ahead_of_two_stage_by": losing, "compared": baselines},
    )
