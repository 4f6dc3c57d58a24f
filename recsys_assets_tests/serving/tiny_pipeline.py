"""The version folder of a tiny pipeline with real file formats: tables, dense layers, an index."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

ITEMS, TEXT, DIMENSIONS, BRANDS = 200, 8, 16, 3000
MOMENT = 1_506_816_000


def write_pipeline(folder: Path, kind: str = "hnsw") -> Path:
    """Writes what `quantize_release` reads; returns the folder."""
    random = np.random.default_rng(0)
    for part in ("two_tower", "item_index", "dlrm/retrieval"):
        (folder / part).mkdir(parents=True)
    np.save(folder / "item_text_embeddings.npy", _unit(random, ITEMS, TEXT) * 0.1)
    pq.write_table(
        pa.table(
            {
                "item_id": [f"item-{n}" for n in range(ITEMS)],
                "brand": [f"brand-{n % 7}" for n in range(ITEMS)],
                "popularity_28d": random.uniform(1, 9, ITEMS),
                "first_sold_at": np.full(ITEMS, MOMENT - 86_400.0),
                "last_sold_at": np.full(ITEMS, MOMENT - 3600.0),
            }
        ),
        folder / "items.parquet",
    )
    _write_encoding(folder / "dlrm/retrieval/encoding.json")
    np.save(folder / "two_tower/sample_queries.npy", _unit(random, 20, DIMENSIONS))
    for tower in ("two_tower/query_tower.onnx", "dlrm/retrieval/query_tower.onnx"):
        write_graph(folder / tower, {"ids": 1, "numbers": 4}, DIMENSIONS)
    inputs = {"ids": 2, "numbers": 2, "text": TEXT}
    write_graph(folder / "dlrm/retrieval/candidate_tower.onnx", inputs, DIMENSIONS)
    inputs = {"item_ids": 2, "item_numbers": 6, "item_text": TEXT}
    write_graph(folder / "dlrm/ranker.onnx", inputs, 1, hidden=128)
    _write_index(folder / "item_index", _unit(random, ITEMS, DIMENSIONS), kind)
    return folder


def write_graph(file: Path, widths: dict[str, int], outputs: int, hidden: int = 32) -> None:
    """Two tables over the first id, one large and one small, and two dense layers over all.

    The first dense layer takes the graph's float inputs as they are, as the DLRM's does.
    """
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    random = np.random.default_rng(1)
    ids = next(name for name in widths if name.endswith("ids"))
    floats = [name for name in widths if name != ids]
    width = sum(widths[name] for name in floats)
    constants = {
        "large": random.normal(size=(BRANDS, 16)),
        "small": random.normal(size=(BRANDS, 2)),
        "hidden": random.normal(size=(width, hidden)) / np.sqrt(width),
        "last": random.normal(size=(hidden + 18, outputs)) / np.sqrt(hidden),
    }
    nodes = [
        helper.make_node("Gather", [ids, "first"], ["id"], axis=1),
        helper.make_node("Gather", ["large", "id"], ["of_large"], axis=0),
        helper.make_node("Gather", ["small", "id"], ["of_small"], axis=0),
        helper.make_node("Concat", floats, ["floats"], axis=1),
        helper.make_node("MatMul", ["floats", "hidden"], ["linear"], name="hidden_layer"),
        helper.make_node("Relu", ["linear"], ["positive"]),
        helper.make_node("Concat", ["positive", "of_large", "of_small"], ["all"], axis=1),
        helper.make_node("MatMul", ["all", "last"], ["output"], name="last_layer"),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [
            helper.make_tensor_value_info(
                name, TensorProto.INT32 if name == ids else TensorProto.FLOAT, ["n", w]
            )
            for name, w in widths.items()
        ],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, ["n", outputs])],
        [
            numpy_helper.from_array(np.array(0), "first"),
            *(numpy_helper.from_array(v.astype(np.float32), name) for name, v in constants.items()),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    onnx.save(model, file)


def _unit(random: np.random.Generator, count: int, width: int) -> np.ndarray:
    rows = random.normal(size=(count, width))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def _write_encoding(file: Path) -> None:
    from recsys_assets.features.encoding import Encoding, ModelEncoding

    columns = {
        "item_id": np.array([f"item-{n}" for n in range(ITEMS)], dtype=object),
        "brand": np.array(["brand-1", "brand-2"], dtype=object),
        "popularity_28d": np.arange(9.0),
    }
    item = Encoding.fit(columns, ["item_id", "brand"], ["popularity_28d"])
    ModelEncoding(query=item, item=item).save(file)


def _write_index(folder: Path, embeddings: np.ndarray, kind: str) -> None:
    from recsys_assets.models.index import index

    description = index.IndexDescription(kind, *embeddings.shape, recall_at_100=1.0)
    ids = [f"item-{n}" for n in range(ITEMS)]
    index.write_index(folder, index.build(embeddings, kind), ids, description)
    assert json.loads((folder / "index.json").read_text())["recall_at_100"] == 1.0
