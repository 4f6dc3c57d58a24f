"""Checks of evaluation assets: the protocol was kept, and the models are worth serving."""

import dagster as dg

from recsys_assets.resources import RunDays, StoreResource

GATED = "two_stage"
_GATES = ("recall_at_10", "ndcg_at_10")


def _figures(store: StoreResource) -> dict[str, dict[str, float]]:
    """Method -> its row of the evaluation table over all requests."""
    rows = store.get().table("evaluation").read().to_pylist()
    return {row["method"]: row for row in rows if row["segment"] == "all"}


def _slates_keep_the_protocol(
    store: StoreResource, run_days: RunDays, table: str
) -> dg.AssetCheckResult:
    from recsys_assets.evaluation.slate_table import from_arrow
    from recsys_assets.evaluation.slates import slate_faults
    from recsys_assets.evaluation.split import load_split

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
