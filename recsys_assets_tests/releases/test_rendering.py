import json
import multiprocessing
import os
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recsys_assets.features.backfill import snapshot_schema
from recsys_assets.features.declarations import ITEM_FEATURES, ITEM_PROMOTIONS
from recsys_assets.models.item_history import Changes
from recsys_assets.models.training_data import CatalogueSnapshot
from recsys_assets.pipeline.pipeline import Effort, read_depths
from recsys_assets.pipeline.rank import read_columns
from recsys_assets.releases import rendering
from recsys_assets.releases.release import Releases
from recsys_assets.releases.rendering import (
    InconsistentRelease,
    Origin,
    ReleaseParts,
    render,
)
from recsys_assets.releases.serving_config import ServingConfig
from recsys_assets.storage import MissingArtifact, Store

DAY = "2017-09-30"
ITEMS = ["a", "b", "c"]
MODEL_FILES = {
    "two_tower": ("query_tower.onnx", "item_tower.onnx", "encoding.json", "weights.npz"),
    "item_embeddings": (),
    "item_index": ("index.faiss", "index.json"),
    "dlrm": ("ranker.onnx", "encoding.json", "negatives.json"),
    "boosted_ranker": ("metrics.json",),
}


@pytest.fixture
def store(tmp_path):
    store = Store((tmp_path / "storage").as_uri())
    fill(store)
    return store


@pytest.fixture
def releases(store):
    return Releases(store)


def fill(store: Store) -> None:
    """Writes everything that a release is made of; the model files are not models."""
    for name in MODEL_FILES:
        publish(store, name, ITEMS)
    none = pa.array([None] * 3, pa.string())
    store.table("items").write(
        pa.table(
            {
                "item_id": ["c", "b", "a"],
                "text": ["sea", "bee", "ay"],
                "brand": pa.array(["x", None, "y"]),
                "price": [3.0, 2.0, 1.0],
                "image": none,
            }
        )
    )
    store.table("users").write(pa.table({"user_id": ["ann"], "age": ["30-39"]}))
    store.table("interactions").write(purchase(), DAY)
    embeddings = pa.FixedSizeListArray.from_arrays(pa.array(np.arange(6, dtype=np.float32)), 2)
    store.table("item_text_embeddings").write(
        pa.table({"item_id": ["b", "c", "a"], "embedding": embeddings})
    )
    store.table("item_promotions").write(promotions({"a": "2017-10-02", "b": "2017-11-30"}))
    for day, rows in {
        "2017-09-28": {"a": (1.0, 5), "b": (2.0, 7)},
        "2017-09-30": {"a": (1.5, 6)},
        "2017-10-01": {"a": (9.9, 9), "c": (9.9, 9)},
    }.items():
        store.table("item_features").write(activity(day, rows), day)


def purchase() -> pa.Table:
    """One line."""
    at = pa.array([datetime(2017, 9, 30, 9, tzinfo=UTC)], pa.timestamp("us", tz="UTC"))
    line = {"user_id": ["ann"], "item_id": ["a"], "timestamp": at, "event": ["purchase"]}
    return pa.table({**line, "price": [1.0], "discount": [0.0], "store_id": ["s"]})


def promotions(begin: dict[str, str]) -> pa.Table:
    """Displays that begin on the given days."""
    moments = [datetime.fromisoformat(day).replace(tzinfo=UTC) for day in begin.values()]
    shares = [0.5] * len(begin)
    return pa.table(
        {"item_id": list(begin), "event_timestamp": moments, "display": shares, "mailer": shares},
        schema=snapshot_schema(ITEM_PROMOTIONS),
    )


def publish(store: Store, name: str, item_ids: list[str]) -> None:
    with store.artifact(name).new_version() as draft:
        for file in MODEL_FILES[name]:
            (draft.path / file).write_text(f"{name}/{file}")
        if name in ("item_embeddings", "item_index"):
            (draft.path / "item_ids.json").write_text(json.dumps(item_ids))
        if name == "item_embeddings":
            np.save(draft.path / "embeddings.npy", np.eye(len(item_ids), dtype=np.float32))


def activity(day: str, rows: dict[str, tuple[float, int]]) -> pa.Table:
    known_at = datetime.fromisoformat(day).replace(tzinfo=UTC)
    return pa.table(
        {
            "item_id": list(rows),
            "event_timestamp": pa.array([known_at] * len(rows), pa.timestamp("us", tz="UTC")),
            "price": [price for price, _ in rows.values()],
            **{
                name: [count for _, count in rows.values()]
                for name in ITEM_FEATURES.columns
                if name != "price"
            },
        }
    )


def rendered(releases: Releases) -> int:
    parts = ReleaseParts.current(releases.store)
    return render(releases, parts, DAY, Origin(trained_through=DAY), ServingConfig())


def test_purchase_counts_are_as_new_as_the_items(releases, monkeypatch):
    """Held-out days: the models end before the day whose evening the release knows."""
    releases.store.table("interactions").write(purchase(), "2017-10-01")
    renewed = []

    def renew(folder, events, history):
        model = str(folder).partition("/pipeline/1/")[2]
        renewed.append((model, events.num_rows, len(history.item_ids)))

    monkeypatch.setattr(rendering, "renew", renew)
    parts = ReleaseParts.current(releases.store)

    render(releases, parts, DAY, Origin(trained_through="2017-09-23"), ServingConfig())

    assert renewed == [(model, 1, 3) for model in ("two_tower", "dlrm", "dlrm/retrieval")]
    renewed.clear()
    rendered(releases)
    assert renewed == []


def version_folder(releases: Releases, release: int) -> Path:
    return releases.fetch(release) / f"models/pipeline/{release}"


def test_a_product_withdrawn_while_a_candidate_is_made_stops_nothing(releases):
    store = releases.store
    parts = replace(ReleaseParts.current(store), catalogue=CatalogueSnapshot.at(store, DAY))
    items = store.table("items").read()
    store.table("items").write(items.slice(0, 2))  # without "a", which the index holds

    release = render(releases, parts, DAY, Origin(trained_through=DAY), ServingConfig())

    held = pq.read_table(version_folder(releases, release) / "items.parquet")
    assert held["item_id"].to_pylist() == ITEMS


def test_a_release_holds_what_its_stages_load(releases):
    release = rendered(releases)
    models = releases.fetch(release) / "models"
    served = {str(file.relative_to(models)) for file in models.rglob("*") if file.is_file()}
    assert {name for name in served if "__pycache__" not in name} == {
        "pipeline/config.pbtxt",
        "pipeline/1/model.py",
        "pipeline/1/release.json",
        "pipeline/1/stage.json",
        "pipeline/1/user_columns.json",
        "pipeline/1/two_tower/query_tower.onnx",
        "pipeline/1/two_tower/encoding.json",
        "pipeline/1/item_index/index.faiss",
        "pipeline/1/item_index/index.json",
        "pipeline/1/item_index/item_ids.json",
        "pipeline/1/dlrm/ranker.onnx",
        "pipeline/1/dlrm/encoding.json",
        "pipeline/1/dlrm/negatives.json",
        "pipeline/1/items.parquet",
        "pipeline/1/item_text_embeddings.npy",
        "pipeline/1/promotions.npz",
        "recommend_cached/config.pbtxt",
        "recommend/config.pbtxt",
    }
    assert "model_version: 1" in (models / "recommend/config.pbtxt").read_text()


def test_items_are_as_known_at_the_end_of_the_day_in_the_order_of_the_index(releases):
    folder = version_folder(releases, rendered(releases))
    columns = read_columns(folder / "items.parquet")
    assert columns["item_id"].tolist() == ITEMS
    assert columns["brand"].tolist() == ["y", "", "x"]
    assert columns["price"][:2].tolist() == [1.5, 2.0]
    assert np.isnan(columns["price"][2])
    assert columns["popularity_7d"][:2].tolist() == [6.0, 7.0]
    assert not {"text", "image", "event_timestamp"} & set(columns)
    text = np.load(folder / "item_text_embeddings.npy")
    assert text.tolist() == [[4.0, 5.0], [0.0, 1.0], [2.0, 3.0]]


def test_the_plan_of_the_next_two_weeks_is_in_the_order_of_the_index(releases):
    folder = version_folder(releases, rendered(releases))

    plan = Changes.load(folder / "promotions.npz")

    october = int(datetime(2017, 10, 3, tzinfo=UTC).timestamp())
    december = int(datetime(2017, 12, 1, tzinfo=UTC).timestamp())
    rows = np.arange(len(ITEMS))
    assert plan.at(rows, np.array([october]))["display"][ITEMS.index("a")] == 0.5
    assert np.isnan(plan.at(rows, np.array([december]))["display"][ITEMS.index("b")])


def test_the_query_stage_reads_the_columns_of_this_source(releases):
    release = rendered(releases)
    file = version_folder(releases, release) / "user_columns.json"
    assert {"age", "last_event_at", "spend_28d"} <= set(json.loads(file.read_text()))


def test_the_pipeline_reads_back_how_deep_it_searches(releases):
    config = ServingConfig()
    depths = read_depths(version_folder(releases, rendered(releases)))
    assert depths == {Effort.FULL: config.depth, Effort.FEWER_CANDIDATES: config.less}


def test_the_manifest_names_every_part(releases, store):
    release = rendered(releases)
    manifest = releases.manifest(release)
    assert manifest["release"] == release
    assert manifest["artifacts"] == {
        name: {"artifact": name, "version": store.artifact(name).current()} for name in MODEL_FILES
    }
    assert manifest["trained_through"] == DAY
    part = releases.part(release, "dlrm")
    assert part == store.artifact("dlrm").fetch()
    assert manifest["item_features_day"] == DAY
    assert set(manifest["vocabularies"]) == {"two_tower", "dlrm"}
    tower = manifest["files"]["models/pipeline/1/two_tower/query_tower.onnx"]
    assert tower["bytes"] == len("two_tower/query_tower.onnx")


def test_a_release_stays_as_it_is_when_an_artifact_is_made_anew(releases, store):
    release = rendered(releases)
    before = releases.manifest(release)
    publish(store, "dlrm", ITEMS)
    later = releases.manifest(rendered(releases))
    assert releases.manifest(release) == before
    assert later["artifacts"]["dlrm"] != before["artifacts"]["dlrm"]
    assert later["artifacts"]["two_tower"] == before["artifacts"]["two_tower"]


def test_an_index_of_other_items_is_refused(releases, store):
    publish(store, "item_index", ["a", "c", "b"])
    with pytest.raises(InconsistentRelease, match="materialize both again"):
        rendered(releases)
    assert releases.numbers() == []


def test_an_indexed_item_that_is_not_in_the_catalogue_is_named(releases, store):
    for name in ("item_index", "item_embeddings"):
        publish(store, name, [*ITEMS, "d"])
    with pytest.raises(InconsistentRelease, match="'d' among them"):
        rendered(releases)
    assert releases.numbers() == []


def test_a_missing_part_is_named(tmp_path):
    with pytest.raises(MissingArtifact, match="two_tower"):
        rendered(Releases(Store(tmp_path.as_uri())))


def render_for_ever(url: str) -> None:
    while True:
        rendered(Releases(Store(url)))


@pytest.mark.integration
@pytest.mark.slow
def test_kills_while_rendering_leave_whole_releases_only(releases, store, tmp_path):
    context = multiprocessing.get_context("spawn")
    rendered(releases)
    for milliseconds in (1, 3, 7, 11, 17, 23):
        process = context.Process(target=render_for_ever, args=(store.url,))
        process.start()
        count = len(releases.numbers())
        while process.is_alive() and len(releases.numbers()) == count:
            pass
        process.join(milliseconds / 1000)
        os.kill(process.pid, 9)
        process.join()
    numbers = releases.numbers()
    assert numbers == list(range(1, len(numbers) + 1))
    for number in numbers:
        folder = releases.fetch(number)
        for name, expected in releases.manifest(number)["files"].items():
            assert (folder / name).stat().st_size == expected["bytes"]


ON_S3 = """
import sys
from dataclasses import replace
from multiprocessing.pool import ThreadPool
from pathlib import Path
from recsys_assets.releases.release import Releases
from recsys_assets.storage import Store
from recsys_assets_tests.releases.test_rendering import fill, rendered

store = Store("s3://shop/recsys", cache=Path(sys.argv[1]))
fill(store)
releases = Releases(store)
with ThreadPool(3) as pool:
    numbers = pool.map(lambda _: rendered(releases), range(3))
assert sorted(numbers) == releases.numbers() == [1, 2, 3], numbers
try:
    with releases.new():
        raise RuntimeError
except RuntimeError:
    pass
assert releases.numbers() == [1, 2, 3]
assert rendered(releases) == 5, "a claimed number is not given again"
assert (releases.fetch(5) / "models/pipeline/5/two_tower/query_tower.onnx").exists()
manifest = releases.fetch(5) / "manifest.json"
manifest.write_text("{}")  # as a copy out of another store would have another one
assert releases.fetch(5) == manifest.parent
assert '"release": 5' in manifest.read_text(), "a copy of something else is replaced"
releases.approve(5)
assert releases.is_approved(5) and not releases.is_approved(1)
releases.record(5, (1,))
assert releases.promoted().previous == 1
"""


@pytest.mark.integration
def test_releases_live_on_s3(tmp_path, s3_environment):
    command = [sys.executable, "-c", ON_S3, str(tmp_path)]
    subprocess.run(command, env=os.environ | s3_environment, check=True)


def test_parts_that_were_made_anew_take_the_place_of_those_at_hand(store):
    first = ReleaseParts.current(store).named()
    publish(store, "dlrm", ITEMS)
    trained = ReleaseParts.current(store, {"dlrm": "dlrm"})
    live = ReleaseParts.of(store, {part: first[part] for part in ("dlrm", "boosted_ranker")})

    assert (live | trained).named() == {
        "dlrm": trained.named()["dlrm"],
        "boosted_ranker": first["boosted_ranker"],
    }
