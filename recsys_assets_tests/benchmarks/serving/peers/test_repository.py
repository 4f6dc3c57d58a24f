"""The peer's model repository is the case study's layout."""

import pytest
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from benchmarks.serving.peers.case_study import SOURCES
from recsys_assets.triton.client import MODEL

STEPS = [
    "context_preprocessor",
    "feast_user_lookup",
    "nvt_user_transform",
    "nvt_context_transform",
    "query_tower",
    "faiss_retrieval",
    "filter_seen_items",
    "feast_item_lookup",
    "nvt_item_transform",
    "multimodal_embedding_lookup",
    "unroll_features",
    "dlrm_ranking",
    "softmax_sampling",
    "item_id_decoder",
]


def config(model):
    text = (SOURCES / model / "config.pbtxt").read_text()
    return text_format.Parse(text, model_config_pb2.ModelConfig())


def test_the_ensemble_has_the_fourteen_steps_in_order():
    assert [step.model_name for step in config(MODEL).ensemble_scheduling.step] == STEPS
    assert {path.name for path in SOURCES.iterdir()} == {*STEPS, MODEL}


def test_every_step_has_one_instance_and_only_the_context_batches():
    for model in STEPS:
        (group,) = config(model).instance_group
        assert group.count == 1
        batches = config(model).HasField("dynamic_batching")
        assert batches == (model == "nvt_context_transform")


def test_tensors_fit_together():
    ensemble = config(MODEL)
    made = {tensor.name: tensor.data_type for tensor in ensemble.input}
    for step in ensemble.ensemble_scheduling.step:
        model = config(step.model_name)
        needed = {tensor.name: tensor.data_type for tensor in model.input}
        assert {name: made[value] for name, value in step.input_map.items()} == needed
        types = {tensor.name: tensor.data_type for tensor in model.output}
        made |= {value: types[name] for name, value in step.output_map.items()}
    for tensor in ensemble.output:
        assert made[tensor.name] == tensor.data_type


@pytest.mark.parametrize("model", STEPS)
def test_models_are_thin(model):
    assert len((SOURCES / model / "model.py").read_text().splitlines()) < 25
