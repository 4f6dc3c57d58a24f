import dagster as dg
import numpy as np
import pyarrow as pa
import pytest

from recsys_assets.defs.graph import evaluation
from recsys_assets.defs.resources import RunDays, StoreResource, VectorIndex
from recsys_assets.evaluation import models, slate_table
from recsys_assets.evaluation.split import load_split
from recsys_assets.slates import rank
from recsys_assets_tests.evaluation.tiny import TODAY, events, moment, write_days

DAYS = RunDays(
    first_day="2025-02-10", last_day="2025-03-04", today=TODAY.isoformat(), evaluation_days=3
)
ITEMS = [f"item-{n}" for n in range(160)]
INPUTS = [dg.AssetSpec(key) for key in ("interactions", "items")]
PARTS = [
    dg.AssetSpec(key)
    for key in (
        "user_features",
        "item_features",
        "item_promotions",
        "item_text_embeddings",
        *models.PARTS,
    )
]
CHECKS = dg.load_asset_checks_from_modules([evaluation])


@pytest.fixture
def store(tmp_path):
    """Households 0-19 buy even items, 20-39 odd ones."""
    resource = StoreResource(url=tmp_path.as_uri())
    rng = np.random.default_rng(1)
    rows = [
        (f"user-{user}", f"item-{2 * rng.integers(80) + (user >= 20)}", moment(day))
        for user in range(40)
        for day in range(-20, 3)
        for _ in range(2)
    ]
    write_days(resource.get(), events(*rows), -20, 2)
    resource.get().table("items").write(pa.table({"item_id": ITEMS}))
    return resource


def oracle(split):
    wanted = split.requests.relevant.toarray()
    return rank(lambda start, stop: wanted[start:stop].copy(), split.requests.seen, split.purchases)


def backwards(split):
    scores = -split.purchases.astype(np.float32)
    return rank(
        lambda start, stop: np.tile(scores, (stop - start, 1)), split.requests.seen, split.purchases
    )


def materialize(store, monkeypatch, slates_of):
    def fake(store, split, days, index_kind, log):
        slates = {"two_tower": oracle(split), "two_stage": slates_of(split)}
        return models.ModelSlates(slates, {"dlrm": "v1"}, {"smallest": 1, "median": 2.0})

    monkeypatch.setattr(models, "model_slates", fake)
    return dg.materialize(
        [*INPUTS, *PARTS, evaluation.baselines, evaluation.evaluation, *CHECKS],
        selection=[evaluation.baselines, evaluation.evaluation],
        resources={"store": store, "run_days": DAYS, "vector_index": VectorIndex(kind="flat")},
        raise_on_error=False,
    )


def train(store):
    """Whether models are trained in a run that makes baselines and examples first."""

    @dg.asset
    def training_examples() -> None: ...

    @dg.asset(deps=["training_examples"])
    def two_tower() -> None: ...

    others = [dg.AssetSpec(name) for name in ("item_text_embeddings", "item_promotions")]
    result = dg.materialize(
        [
            *INPUTS,
            *others,
            evaluation.baselines,
            training_examples,
            two_tower,
            evaluation.training_can_begin,
            evaluation.baselines_keep_the_protocol,
        ],
        selection=[evaluation.baselines, training_examples, two_tower],
        resources={"store": store, "run_days": DAYS},
        raise_on_error=False,
    )
    return bool(result.asset_materializations_for_node("two_tower")), result


def test_training_begins_once_there_are_baselines_to_hold_it_against(store):
    trained, result = train(store)

    assert trained
    assert passed(result)["training_can_begin"]


def test_nothing_is_trained_that_could_not_be_measured(store):
    for day in range(3):  # a closed shop
        write_days(store.get(), events(), day, day)

    trained, result = train(store)

    assert not trained
    (failure,) = [event for event in result.all_events if event.is_step_failure]
    assert failure.step_key == "baselines"
    assert "nothing to measure" in str(failure.step_failure_data.error.cause)


def test_nothing_is_trained_beside_baselines_of_other_days(store):
    train(store)
    table = store.get().table("baselines")
    table.write(table.read().slice(1))

    found = evaluation.training_can_begin(store, DAYS)

    assert not found.passed
    assert "materialize the asset `baselines` again" in found.description


def passed(result):
    return {e.check_name: e.passed for e in result.get_asset_check_evaluations()}


def failed(result):
    return {name for name, good in passed(result).items() if not good}


def test_the_gates_block():
    blocking = {spec.name for check in CHECKS for spec in check.check_specs if spec.blocking}

    assert blocking == {
        "training_can_begin",
        "baselines_keep_the_protocol",
        "models_keep_the_protocol",
        "metrics_are_shares",
        "better_than_popularity",
    }


def test_good_models_pass_every_check(store, monkeypatch):
    result = materialize(store, monkeypatch, oracle)

    assert set(passed(result)) == {
        "baselines_keep_the_protocol",
        "models_keep_the_protocol",
        "metrics_are_shares",
        "better_than_popularity",
        "better_than_every_baseline",
    }
    assert all(passed(result).values())


def test_the_evaluation_holds_every_method_and_shows_it(store, monkeypatch):
    result = materialize(store, monkeypatch, oracle)

    table = store.get().table("evaluation").read()
    methods = ["popularity", "popularity_28d", "item_knn", "als", "ease", "two_tower", "two_stage"]
    assert table["method"].unique().to_pylist() == methods
    [made] = result.asset_materializations_for_node("evaluation")
    assert made.metadata["plot"].value.startswith("![evaluation](data:image/png;base64,")
    assert "| ease |" in made.metadata["table"].value
    assert "| popularity |" in made.metadata["two_stage_against_each"].value
    assert made.metadata["versions"].data == {"dlrm": "v1"}
    report = store.get().artifact("evaluation_report").fetch()
    assert (report / "evaluation.md").read_text().startswith("| method |")
    assert (report / "evaluation.png").read_bytes().startswith(b"\x89PNG")


def test_models_worse_than_popularity_are_stopped(store, monkeypatch):
    result = materialize(store, monkeypatch, backwards)

    assert failed(result) == {"better_than_popularity", "better_than_every_baseline"}
    (stopped,) = (
        evaluation
        for evaluation in result.get_asset_check_evaluations()
        if evaluation.check_name == "better_than_popularity"
    )
    assert "bestsellers: recall_at_10 0." in stopped.description
    assert "an earlier RECSYS_FIRST_DAY" in stopped.description


def test_a_seen_item_is_found(store, monkeypatch):
    def cheat(split):
        slates = oracle(split)
        slates[0, 0] = split.requests.seen[0].indices[0]
        return slates

    assert failed(materialize(store, monkeypatch, cheat)) == {"models_keep_the_protocol"}


def test_a_baseline_that_wins_is_named_but_does_not_stop(store, monkeypatch):
    materialize(store, monkeypatch, oracle)
    table = store.get().table("evaluation").read().to_pylist()
    for row in table:
        if row["method"] == "ease":
            row["ndcg_at_10"] = 1.0
            row["recall_at_10"] = 1.0
    schema = store.get().table("evaluation").read().schema
    store.get().table("evaluation").write(pa.Table.from_pylist(table, schema=schema))

    found = evaluation.better_than_every_baseline(store)

    assert not found.passed
    assert found.severity == dg.AssetCheckSeverity.WARN
    assert list(found.metadata["ahead_of_two_stage_by"].data) == ["ease"]


def test_the_baselines_are_stored_by_household(store, monkeypatch):
    materialize(store, monkeypatch, oracle)

    split = load_split(store.get(), DAYS.get())
    slates = slate_table.from_arrow(store.get().table("baselines").read(), split)
    assert set(slates) == {"popularity", "popularity_28d", "item_knn", "als", "ease"}
    assert all(len(shown) == len(split.requests) for shown in slates.values())
