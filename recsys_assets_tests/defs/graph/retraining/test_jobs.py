import json
from dataclasses import fields, replace

import dagster as dg
import pytest

from recsys_assets.definitions import defs
from recsys_assets.defs.graph.retraining.fine_tunes import retrained_dlrm, retrained_two_tower
from recsys_assets.defs.graph.retraining.jobs import rollback_release
from recsys_assets.defs.pipes.pipes import ModelsEnvironment
from recsys_assets.defs.resources import StoreResource
from recsys_assets.defs.retraining_resources import CandidateGate
from recsys_assets.defs.serving_resources import ServingResource
from recsys_assets.retraining.gate import GateRules, evaluation_window
from recsys_assets.rollout import promotion
from recsys_assets.settings import load_settings
from recsys_assets.storage import Store

DAY = "2017-10-05"
TRAINED = {
    "fine_tune": ("finetuned_query_tower", "finetuned_dlrm"),
    "full_retrain": ("retrained_two_tower", "retrained_dlrm", "retrained_boosted_ranker"),
}


@pytest.mark.parametrize(("name", "trained"), TRAINED.items())
def test_a_job_trains_judges_and_promotes(name, trained):
    job = defs.resolve_job_def(name)
    assets = {key.to_user_string() for key in job.asset_layer.executable_asset_keys}

    assert assets == {*trained, "item_text_embeddings", "release_candidate", "promoted_release"}
    assert job.tags["recsys/trains"] == "1"  # only one run with this tag at a time


def test_a_full_retrain_judges_what_it_has_trained():
    job = defs.resolve_job_def("full_retrain")
    config = job.get_run_config_for_partition_key("2017-10-02")

    assert config["ops"]["release_candidate"]["config"] == {"models": "RETRAINED"}


@pytest.mark.parametrize("name", ["canary_answers", "beats_live"])
def test_what_the_gate_finds_blocks_the_promotion(name):
    specs = defs.resolve_asset_graph()
    (found,) = (key for key in specs.asset_check_keys if key.name == name and _of_candidate(key))

    assert specs.get_check_spec(found).blocking


class RecordingModels(ModelsEnvironment):
    """Trains nothing; the extras of each training are the figures that it publishes."""

    url: str

    def run(self, context, module, extras):
        with Store(self.url).artifact(extras["artifact"]).new_version() as draft:
            (draft.path / "metrics.json").write_text(json.dumps({"module": module, **extras}))
        return draft.version


def retrained(folder, *assets, ops=None):
    """What a run of `DAY` makes of the assets."""
    url = folder.as_uri()
    return dg.materialize(
        assets,
        partition_key=DAY,
        resources={
            "store": StoreResource(url=url),
            "models": RecordingModels(url=url),
            "gate": CandidateGate(attribution_hours=24),
        },
        run_config={"ops": ops or {}},
    )


def ordered(result, asset):
    return result.asset_materializations_for_node(asset.key.to_user_string())[0].metadata


@pytest.mark.parametrize(
    ("asset", "changed"),
    [
        (retrained_two_tower, {"seed": 7, "epochs": 3}),
        (retrained_dlrm, {"seed": 7, "learning_rate": 0.5}),
    ],
)
def test_hyperparameters_and_seed_reach_a_full_retrain(tmp_path, asset, changed):
    result = retrained(tmp_path, asset, ops={asset.key.to_user_string(): {"config": changed}})

    metadata = ordered(result, asset)
    assert changed.items() <= metadata["parameters"].data.items()


def test_a_full_retrain_is_the_initial_training_with_the_tower_of_the_same_day(tmp_path):
    result = retrained(tmp_path, retrained_two_tower, retrained_dlrm)
    towers, ranker = (ordered(result, one) for one in (retrained_two_tower, retrained_dlrm))

    assert towers["module"].value == "recsys_assets.models.two_tower_training"
    assert ranker["module"].value == "recsys_assets.models.dlrm_training"
    assert ranker["artifact"].value == f"retrained_dlrm/{DAY}"
    assert ranker["two_tower"].data == {
        "artifact": f"retrained_two_tower/{DAY}",
        "version": towers["version"].value,
    }


def _of_candidate(key):
    return key.asset_key.to_user_string() == "release_candidate"


class TestCandidateGate:
    def test_unless_configured_its_rules_are_the_default_ones(self):
        gate = CandidateGate.from_settings(replace(load_settings(), attribution_hours=48))

        assert gate.rules() == GateRules()
        assert gate.evaluation_window("2025-03-05") == evaluation_window(
            "2025-03-05", GateRules(), 48
        )

    @pytest.mark.parametrize("name", [field.name for field in fields(GateRules)])
    def test_every_rule_can_be_configured(self, name):
        gate = CandidateGate(attribution_hours=24, **{name: 7})

        assert gate.rules() == replace(GateRules(), **{name: 7})


def test_a_rollback_goes_back_to_other_weights_and_not_to_their_older_data(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(promotion, "rollback", lambda *given, **how: asked.append((given, how)))
    result = rollback_release.execute_in_process(
        resources={
            "store": StoreResource(url=tmp_path.as_uri()),
            "serving": ServingResource.from_settings(load_settings({"RECSYS_HOME": str(tmp_path)})),
        },
        run_config={"ops": {"rollback": {"config": {"reason": "a drop", "expected_release": 4}}}},
    )

    (((_, _, reason, expected), how),) = asked
    assert (reason.cause, expected, how) == ("a drop", 4, {"weights": True})
    assert result.success
