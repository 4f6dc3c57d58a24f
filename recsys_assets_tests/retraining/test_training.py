"""Fine-tunes and retrains with the real processes, on a tiny shop that grows by a day."""

import json
import shutil
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname
from zoneinfo import ZoneInfo

import dagster as dg
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from recsys_assets.defs.pipes.pipes import ModelsEnvironment, ModelsSubprocess
from recsys_assets.features.encoding import UNKNOWN, ModelEncoding
from recsys_assets.models.item_history import ItemHistory, midnight_after
from recsys_assets.models.merlin import read_weights
from recsys_assets.models.negatives import CANDIDATE_TOWER, RETRIEVAL
from recsys_assets.models.ranker import Ranker
from recsys_assets.models.towers import ItemTower, QueryTower
from recsys_assets.models.training_data import load_training_data, text_embeddings
from recsys_assets.releases.release import MANIFEST, Releases
from recsys_assets.retraining.query_tower import FrozenTowerChanged, prove_frozen
from recsys_assets.settings import load_settings
from recsys_assets.storage import Store
from recsys_assets_tests.models_environment import DAYS, DLRM, FIRST_DAY, THROUGH, TWO_TOWER

pytestmark = pytest.mark.integration

NEXT_DAY = (FIRST_DAY + timedelta(days=DAYS)).date().isoformat()
NEW_USER, NEW_ITEM = "user-new", "item-new"
ZONE = "Europe/Berlin"  # of the shop by now; the first training knew of none
NEW_PRODUCT = {"item_id": NEW_ITEM, "category_l2": "category-new", "brand": "brand-new", "price": 9}
NEW_ATTRIBUTES = {"age": ["ancient"], "income": ["high"]}
TUNED = {"two_tower": "finetuned_query_tower", "dlrm": "finetuned_dlrm"}
TUNING = {"recent_days": 3, "recent_examples": 128, "replay_examples": 128}


def run(store, module, **extras):
    """Runs a training module as Dagster does; returns the folder that it has published."""

    @dg.asset
    def trained(context: dg.AssetExecutionContext, models: ModelsEnvironment) -> dg.Output[str]:
        order = {"store": store.url, **extras}
        return dg.Output(models.run(context, f"recsys_assets.{module}", order))

    models = ModelsSubprocess.from_settings(replace(load_settings(), time_zone=ZONE))
    result = dg.materialize([trained], resources={"models": models})
    return store.artifact(extras["artifact"]).fetch(result.output_for_node("trained"))


def publish_release(store):
    """A release of the trained models, as far as a fine-tune looks at it."""
    made_of = {
        part: {"artifact": part, "version": store.artifact(part).current()} for part in TUNED
    }
    with Releases(store).new() as draft:
        manifest = {"trained_through": THROUGH, "artifacts": made_of}
        (draft.path / MANIFEST).write_text(json.dumps(manifest))
    return int(draft.version)


def add_a_day(store):
    """A day on which a new user buys, among others, an item that is new in the catalogue.

    Its text has no embedding yet, its category and brand were never seen. Nor were the user's
    store and age, and users have one attribute more.
    """
    catalogue = store.table("items").read()
    new = catalogue.slice(0, 1)
    for name, value in NEW_PRODUCT.items():
        new = _with(new, name, [value])
    store.table("items").write(pa.concat_tables([catalogue, new]))
    store.table("users").write(pa.table({"user_id": [NEW_USER], **NEW_ATTRIBUTES}))
    for name in ("interactions", "item_features"):
        rows = store.table(name).read([THROUGH])
        store.table(name).write(_a_day_later(rows, *_moment(rows)), NEXT_DAY)
    bought = store.table("training_examples").read().slice(0, 8)
    bought = _a_day_later(bought, "timestamp", timedelta(days=DAYS))
    users = pa.array([*[NEW_USER] * 4, *bought.column("user_id").to_pylist()[4:]])
    items = pa.array([NEW_ITEM, *bought.column("item_id").to_pylist()[1:]])
    values = {"user_id": users, "item_id": items, "top_store_28d": ["store-new"] * 8}
    for name, column in values.items():
        bought = _with(bought, name, column)
    bought = _with(bought, "age", NEW_ATTRIBUTES["age"] * 8)
    bought = bought.append_column("income", pa.array(NEW_ATTRIBUTES["income"] * 8))
    store.table("daily_examples").write(bought, NEXT_DAY)
    events = store.table("interactions").read([NEXT_DAY])
    purchases = bought.select(["user_id", "item_id", "timestamp"]).append_column(
        "event", pa.array(["purchase"] * len(bought))
    )
    store.table("interactions").write(pa.concat_tables([events, purchases]), NEXT_DAY)


def _with(rows, name, values):
    place = rows.column_names.index(name)
    return rows.set_column(place, name, pa.array(values, rows.schema.field(name).type))


def _moment(rows):
    return ("timestamp" if "timestamp" in rows.column_names else "event_timestamp"), timedelta(1)


def _a_day_later(rows, column, later):
    moments = pc.add(rows.column(column), pa.scalar(later, pa.duration("us")))
    return rows.set_column(rows.column_names.index(column), column, moments)


@pytest.fixture(scope="module")
def shop(tmp_path_factory, trained_shop):
    """A copy of the trained shop with a release, and the day after."""
    folder = tmp_path_factory.mktemp("copy") / "store"
    shutil.copytree(url2pathname(urlsplit(trained_shop.store.url).path), folder)
    store = Store(folder.as_uri())
    release = publish_release(store)
    add_a_day(store)
    return store, {"through": NEXT_DAY, "base_release": release}


@pytest.fixture(scope="module")
def base(shop):
    store, order = shop
    return {part: Releases(store).part(order["base_release"], part) for part in TUNED}


def tune_tower(shop):
    store, order = shop
    artifact = f"finetuned_query_tower/{NEXT_DAY}"
    return run(store, "retraining.query_tower", artifact=artifact, parameters=TUNING, **order)


def tune_ranker(shop, two_tower: Path):
    store, order = shop
    named = {"artifact": f"finetuned_query_tower/{NEXT_DAY}", "version": two_tower.name}
    artifact = f"finetuned_dlrm/{NEXT_DAY}"
    return run(
        store, "retraining.dlrm", artifact=artifact, parameters=TUNING, two_tower=named, **order
    )


@pytest.fixture(scope="module")
def tower(shop):
    return tune_tower(shop)


@pytest.fixture(scope="module")
def ranker(shop, tower):
    return tune_ranker(shop, tower)


def metrics_of(folder):
    return json.loads((folder / "metrics.json").read_text())


def weights_of(folder):
    return [array.tobytes() for array in read_weights(folder / "weights.npz")]


@pytest.mark.parametrize(
    ("part", "parameters"),
    [("two_tower", TWO_TOWER), pytest.param("dlrm", DLRM, marks=pytest.mark.slow)],
)
def test_a_retrain_writes_what_the_first_training_writes(shop, base, part, parameters):
    store, _ = shop
    order = {"through": THROUGH, "parameters": parameters}
    if part == "dlrm":
        order["two_tower"] = {"artifact": "two_tower", "version": base["two_tower"].name}

    again = run(store, f"models.{part}_training", artifact=f"retrained_{part}/{THROUGH}", **order)

    metrics = metrics_of(again)
    assert metrics["trained_through"] == THROUGH
    assert metrics["finite_weights"]
    assert parameters.items() <= metrics["parameters"].items()
    assert ModelEncoding.load(again / "encoding.json").time_zone == ZONE
    if part == "two_tower":
        by_clock, by_utc = (on_two_sundays(store, tower) for tower in (again, base[part]))
        assert np.allclose(by_clock[0], by_clock[1])
        assert not np.allclose(by_utc[0], by_utc[1])
    assert (part == "dlrm") == (again / RETRIEVAL / CANDIDATE_TOWER).exists()


def on_two_sundays(store, tower):
    """Queries of one user at a time of day, before and after clocks are put forward."""
    user = load_training_data(store, THROUGH).examples.take(np.array([0, 0])).user
    user["last_event_at"] = np.full(2, np.nan)
    days = (datetime(2025, 3, 23, 10, 12), datetime(2025, 4, 6, 10, 12))
    moments = [int(day.replace(tzinfo=ZoneInfo(ZONE)).timestamp()) for day in days]
    return QueryTower(tower).embed(user, np.array(moments))


def test_a_fine_tune_has_all_files_of_its_base(base, tower, ranker):
    for folder, of_base in ((tower, base["two_tower"]), (ranker, base["dlrm"])):
        names = {p.relative_to(of_base).as_posix() for p in of_base.rglob("*")}
        assert {p.relative_to(folder).as_posix() for p in folder.rglob("*")} == names


def test_a_fine_tune_starts_where_its_base_ended(tower, ranker):
    assert metrics_of(tower)["start_difference"] < 1e-5
    assert metrics_of(ranker)["start_difference"] < 1e-3


def test_the_item_tower_is_frozen_bit_for_bit(base, tower):
    before, after = weights_of(base["two_tower"]), weights_of(tower)
    trained = {n for n, (one, other) in enumerate(zip(before, after, strict=True)) if one != other}

    assert trained
    assert prove_frozen(base["two_tower"], tower, trained) == metrics_of(tower)["item_tower_sha256"]
    assert (tower / "item_tower.onnx").read_bytes() == (
        base["two_tower"] / "item_tower.onnx"
    ).read_bytes()


def test_a_touched_weight_of_the_item_tower_is_noticed(base, tower):
    with pytest.raises(FrozenTowerChanged, match="weight"):
        prove_frozen(base["two_tower"], tower, set())


def test_all_layers_of_the_ranker_learn(base, ranker):
    before, after = (read_weights(f / "weights.npz") for f in (base["dlrm"], ranker))

    layers = [(one, other) for one, other in zip(before, after, strict=True) if one.ndim == 1]
    assert all((one != other).any() for one, other in layers if one.dtype == np.float32)


def test_new_ids_get_rows_behind_those_there_are(base, tower, ranker):
    known, extended = (ModelEncoding.load(f / "encoding.json") for f in (base["dlrm"], ranker))

    assert extended.time_zone == known.time_zone == "UTC"
    assert extended.query.vocabularies["user_id"].values == (
        *known.query.vocabularies["user_id"].values,
        NEW_USER,
    )
    assert extended.item.vocabularies["item_id"].values == (
        *known.item.vocabularies["item_id"].values,
        NEW_ITEM,
    )
    assert (metrics_of(ranker)["new_users"], metrics_of(ranker)["new_items"]) == (1, 1)
    assert metrics_of(tower)["new_users"] == 1
    item = ModelEncoding.load(tower / "encoding.json").item
    assert item.vocabularies["item_id"].encode(np.array([NEW_ITEM])).tolist() == [UNKNOWN]


def test_what_a_vocabulary_lacks_is_unknown(tower, ranker):
    for folder in (tower, ranker):
        encoding = ModelEncoding.load(folder / "encoding.json")
        for side, name, value in (
            (encoding.item, "category_l2", NEW_PRODUCT["category_l2"]),
            (encoding.item, "brand", NEW_PRODUCT["brand"]),
            (encoding.query, "age", NEW_ATTRIBUTES["age"][0]),
            (encoding.query, "top_store_28d", "store-new"),
        ):
            assert side.vocabularies[name].encode(np.array([value])).tolist() == [UNKNOWN]


def test_a_fine_tuned_pair_answers_for_new_users_and_new_items(shop, tower, ranker):
    store, _ = shop
    moment = midnight_after(NEXT_DAY)
    history = ItemHistory.load(store, NEXT_DAY)
    columns, text = history.snapshot(moment), text_embeddings(store, history.item_ids)
    user = load_training_data(store, NEXT_DAY).examples.take(np.array([0, 0])).user
    user["user_id"] = np.array([NEW_USER, "never seen"], dtype=object)

    queries = QueryTower(tower).embed(user, np.full(2, moment))
    items = ItemTower(tower).embed(columns, text, moment)
    one = {name: values[:1] for name, values in user.items()}
    rows = np.arange(len(history.item_ids))
    scores = Ranker(ranker, columns, text, history.promotions).score(one, moment, rows)

    assert not np.allclose(queries[0], queries[1])  # the new user has a row and purchase counts
    assert len(items) == len(scores) == len(history.item_ids)
    assert np.isfinite(items).all()
    assert np.isfinite(scores).all()


@pytest.mark.slow
def test_the_same_day_and_base_give_the_same_weights(shop, tower, ranker):
    again = tune_tower(shop)

    assert again.name != tower.name
    assert weights_of(again) == weights_of(tower)
    assert weights_of(tune_ranker(shop, again)) == weights_of(ranker)


def test_nothing_after_the_last_day_is_learned_from(shop):
    store, _ = shop
    data = load_training_data(store, THROUGH)

    assert data.examples.timestamp.max() < midnight_after(THROUGH)
    assert NEW_USER not in data.examples.user["user_id"]
    newest = pc.max(data.purchases.column("timestamp")).as_py().timestamp()
    assert newest < midnight_after(THROUGH)
