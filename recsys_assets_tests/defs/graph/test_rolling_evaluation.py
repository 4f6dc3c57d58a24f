import json
from datetime import timedelta

import dagster as dg
import numpy as np
import pyarrow as pa
import pytest

from recsys_assets.defs.graph import rolling_evaluation
from recsys_assets.defs.resources import RunDays, StoreResource
from recsys_assets_tests.evaluation.tiny import TODAY, events, moment, write_days

WEEKS = 11
FIRST = TODAY - timedelta(weeks=WEEKS)
DAYS = RunDays(
    first_day=FIRST.isoformat(),
    last_day=(TODAY - timedelta(days=1)).isoformat(),
    today=TODAY.isoformat(),
    evaluation_days=3,
)
ITEMS = [f"item-{n}" for n in range(60)]
INPUTS = [dg.AssetSpec(key) for key in ("interactions", "items", "item_promotions")]
PLAN = pa.schema(
    [
        ("item_id", pa.string()),
        ("event_timestamp", pa.timestamp("us", tz="UTC")),
        ("display", pa.float64()),
        ("mailer", pa.float64()),
    ]
)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """Households buy five items a week, of their half of the catalogue."""
    resource = StoreResource(url=tmp_path_factory.mktemp("store").as_uri())
    random = np.random.default_rng(1)
    rows = [
        (f"user-{user}", f"item-{2 * random.integers(30) + user % 2}", moment(int(day)))
        for user in range(20)
        for week in range(-WEEKS, 0)
        for day in 7 * week + random.integers(0, 7, 5)
    ]
    table = events(*rows)
    for name, kind in (
        ("quantity", pa.int64()),
        ("price", pa.float64()),
        ("discount", pa.float64()),
        ("store_id", pa.string()),
    ):
        table = table.append_column(name, pa.nulls(len(table), kind))
    write_days(resource.get(), table, -7 * WEEKS, -1)
    resource.get().table("items").write(pa.table({"item_id": ITEMS}))
    resource.get().table("item_promotions").write(PLAN.empty_table())
    return resource


@pytest.fixture(scope="module")
def result(store):
    return dg.materialize(
        [
            *INPUTS,
            rolling_evaluation.rolling_evaluation,
            rolling_evaluation.better_than_every_baseline_each_week,
        ],
        resources={"store": store, "run_days": DAYS},
        run_config={"ops": {"rolling_evaluation": {"config": {"weeks": 2}}}},
        selection=[rolling_evaluation.rolling_evaluation],
    )


def test_the_latest_whole_weeks_are_measured(store, result):
    assert result.success
    folder = store.get().artifact("rolling_evaluation").fetch()
    figures = json.loads((folder / "figures.json").read_text())
    assert figures["weeks"] == [str(TODAY - timedelta(weeks=2)), str(TODAY - timedelta(weeks=1))]
    assert {"pipeline", "ease", "popularity"} <= set(figures["methods"])
    assert (folder / "weeks.png").read_bytes().startswith(b"\x89PNG")


def test_how_far_probabilities_are_those_of_purchases_is_shown(store, result):
    [made] = result.asset_materializations_for_node("rolling_evaluation")
    folder = store.get().artifact("rolling_evaluation").fetch()
    figures = json.loads((folder / "figures.json").read_text())

    error = made.metadata["expected_calibration_error"].value
    assert error == figures["calibration"]["expected_calibration_error"]["mean"]
    assert made.metadata["calibration"].value.startswith("![calibration](data:image/png")
    assert (folder / "calibration.png").read_bytes().startswith(b"\x89PNG")


def test_what_each_source_brings_is_shown(store, result):
    [made] = result.asset_materializations_for_node("rolling_evaluation")

    assert "| store_best_sellers |" in made.metadata["sources_in_the_last_week"].value
    assert "| pipeline |" in made.metadata["table"].value


def test_being_no_better_than_a_baseline_is_a_warning(store, result):
    folder = store.get().artifact("rolling_evaluation").fetch()
    figures = json.loads((folder / "figures.json").read_text())

    [check] = result.get_asset_check_evaluations()

    assert check.passed == (figures["against_best_peer"]["ndcg_at_10"]["difference"]["low"] > 0)
    assert check.severity == dg.AssetCheckSeverity.WARN
