"""Artifacts with the real file formats and random weights: what training makes, without training.

Run as a script in the models environment it writes the ONNX files, whose library is only there.
"""

import json
import subprocess
import sys
from datetime import date, timedelta
from pathlib import Path

import numpy as np

DIMENSIONS = 16
PLANNED = ("display", "mailer", "display_last_week", "mailer_last_week")


def publish_untrained_models(store, through: str, models_python: Path) -> None:
    """Publishes every part of a release for the store's tables."""
    from recsys_assets.candidates.purchase_log import COLUMNS, PurchaseLog
    from recsys_assets.candidates.sources import Sources
    from recsys_assets.features.attributes import attribute_names, user_columns
    from recsys_assets.features.encoding import Encoding, ModelEncoding
    from recsys_assets.features.reader import OnlineUserFeatures
    from recsys_assets.models.dlrm_training import add_retrieval
    from recsys_assets.models.hyperparameters import DlrmParameters
    from recsys_assets.models.index import index
    from recsys_assets.models.inputs import item_inputs, query_inputs, with_age, with_request
    from recsys_assets.models.item_history import ItemHistory, midnight_after
    from recsys_assets.models.purchase_counts import PurchaseCounts, Purchases
    from recsys_assets.models.towers import write_embeddings
    from recsys_assets.models.training_data import interactions, text_embeddings

    moment = np.array([midnight_after(through)])
    users = store.table("users").read()
    history = ItemHistory.load(store, through)
    items = with_age(history.snapshot(int(moment[0])), moment)
    nobody = OnlineUserFeatures(None, user_columns(store)).missing(1)
    user = {
        **nobody,
        "user_id": np.array(["ann"], dtype=object),
        "device": np.array(["web"], dtype=object),
    }
    query = query_inputs(attribute_names("users", users.column_names))
    item = item_inputs(list(history.attributes))
    encoding = ModelEncoding(
        query=Encoding.fit(with_request(user, moment, "UTC"), query.categorical, query.numeric),
        item=Encoding.fit(items, item.categorical, item.numeric),
    )
    table = store.table("interactions")
    events = table.read([day for day in table.days() if day <= through])
    purchases = Purchases.from_table(events, encoding, history)
    query_widths = {"ids": len(query.categorical), "numbers": encoding.query.dense_width}
    item_widths = {
        "ids": len(item.categorical),
        "numbers": encoding.item.dense_width,
        "text": text_embeddings(store, history.item_ids[:1]).shape[1],
    }
    inputs = {
        "two_tower": query_widths | {"profile": encoding.item.cardinalities["category_l2"]},
        "dlrm": {f"query_{name}": width for name, width in query_widths.items()}
        | {
            "item_ids": len(item.categorical),
            "item_numbers": encoding.item.dense_width,
            "item_text": text_embeddings(store, history.item_ids[:1]).shape[1],
            "affinity": 2 * len(purchases.attributes),
        },
    }
    embeddings = np.random.default_rng(0).normal(size=(len(history.item_ids), DIMENSIONS))
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    embeddings = embeddings.astype(np.float32)
    for name in ("two_tower", "dlrm"):
        with store.artifact(name).new_version() as draft:
            encoding.save(draft.path / "encoding.json")
            PurchaseCounts.of(purchases).save(draft.path)
            subprocess.run(
                [str(models_python), __file__, name, str(draft.path), json.dumps(inputs[name])],
                check=True,
            )
            if name == "two_tower":
                item = json.dumps(item_widths)
                subprocess.run(
                    [str(models_python), __file__, "item_tower", str(draft.path), item], check=True
                )
                metrics = {"parameters": {"temperature": 0.1}}
                (draft.path / "metrics.json").write_text(json.dumps(metrics))
                np.save(draft.path / "sample_queries.npy", embeddings[:8])
            else:
                add_retrieval(draft.path, store.artifact("two_tower").fetch(), DlrmParameters())
    with store.artifact("item_embeddings").new_version() as draft:
        write_embeddings(draft.path, embeddings, history.item_ids)
    with store.artifact("item_index").new_version() as draft:
        built = index.build(embeddings, "hnsw")
        description = index.IndexDescription("hnsw", *embeddings.shape, 1.0)
        index.write_index(draft.path, built, history.item_ids.tolist(), description)
    events = interactions(store, through, COLUMNS)
    day = date.fromisoformat(through) + timedelta(days=1)
    log = PurchaseLog.of_catalogue(events, history)
    with store.artifact("boosted_ranker").new_version() as draft:
        random_ranker(Sources.on(log, history.promotions, day)).save(draft.path)


def random_ranker(sources):
    """Trees over the inputs of a day's candidates that have learned from chance."""
    from recsys_assets.candidates.boosted_ranker import BoostedRanker, Boosting, RankerExamples
    from recsys_assets.candidates.declarations import SOURCES
    from recsys_assets.candidates.inputs import RankerInputs
    from recsys_assets.candidates.union import unite

    nobody = np.array([-1])
    found = unite(sources, SOURCES, nobody, lambda *_: [np.zeros(0, int)])
    planned = {name: np.zeros(len(found.item)) for name in PLANNED}
    names = tuple(RankerInputs(sources, SOURCES).of(found, nobody, planned))
    random = np.random.default_rng(0)
    examples = RankerExamples(
        names,
        random.normal(size=(400, len(names))).astype(np.float32),
        np.repeat(np.arange(20), 20),
        random.random(400) < 0.2,
        np.full(20, 4),
    )
    return BoostedRanker.fit([examples], Boosting(trees=5, min_leaf_examples=5, negatives=1.0))


def write_onnx(artifact: str, folder: Path, widths: dict[str, int]) -> None:
    """Writes a linear model of all inputs, one output row an input row."""
    import onnx
    from onnx import TensorProto, helper

    file, outputs = {
        "two_tower": ("query_tower.onnx", DIMENSIONS),
        "item_tower": ("item_tower.onnx", DIMENSIONS),
        "dlrm": ("ranker.onnx", 1),
    }[artifact]
    types = {
        name: TensorProto.INT32 if name.endswith("ids") else TensorProto.FLOAT for name in widths
    }
    nodes = [
        helper.make_node("Cast", [name], [f"{name}_float"], to=TensorProto.FLOAT) for name in widths
    ]
    total = sum(widths.values())
    weights = np.random.default_rng(1).normal(size=(total, outputs)).astype(np.float32)
    nodes += [
        helper.make_node("Concat", [f"{name}_float" for name in widths], ["row"], axis=1),
        helper.make_node("MatMul", ["row", "weights"], ["linear"]),
    ]
    shape: list[object] = ["n", outputs]
    if outputs == 1:
        nodes.append(helper.make_node("Squeeze", ["linear", "axis"], ["output"]))
        shape = ["n"]
    else:
        nodes.append(helper.make_node("LpNormalization", ["linear"], ["output"], axis=1))
    graph = helper.make_graph(
        nodes,
        artifact,
        [helper.make_tensor_value_info(name, types[name], ["n", w]) for name, w in widths.items()],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, shape)],
        [
            onnx.numpy_helper.from_array(weights, "weights"),
            onnx.numpy_helper.from_array(np.array([1]), "axis"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    onnx.save(model, str(folder / file))


if __name__ == "__main__":
    write_onnx(sys.argv[1], Path(sys.argv[2]), json.loads(sys.argv[3]))
