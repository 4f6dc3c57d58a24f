"""Experiments that the recorded days are too few for say so, and do not end a replay."""

import json

import pyarrow as pa
import pytest

from recsys_assets.monitoring.loading import LiveWeights
from recsys_assets.monitoring.profile import ModelVocabulary
from recsys_assets.settings import load_settings
from recsys_assets.storage import MissingPartition, Store
from replay import experiments

THROUGH = "2017-03-31"


@pytest.fixture
def settings(tmp_path, monkeypatch):
    live = LiveWeights(1, THROUGH, ModelVocabulary(frozenset(), frozenset()), frozenset({1}))
    monkeypatch.setattr(experiments, "as_live", lambda releases, release: live)
    return load_settings({"RECSYS_HOME": str(tmp_path)})


def recorded(settings, days):
    for number in range(days):
        day = f"2017-{1 + number // 28:02d}-{1 + number % 28:02d}"
        Store(settings.storage_url).table("interactions").write(pa.table({"user_id": ["a"]}), day)


def found(settings):
    return json.loads(experiments.run_experiments(settings, 1).read_text())


def test_too_short_a_history_has_no_control_and_says_why(settings):
    recorded(settings, 56)

    shown = found(settings)

    assert shown["control"] is None
    assert "56 days: more than 56 are needed" in shown["not_run"]["control"]
    assert shown["shocks"] is None
    assert "let it serve" in shown["not_run"]["shocks"]


@pytest.mark.parametrize(("days", "judged"), [(66, 10), (84, 28)])
def test_the_control_judges_what_history_has_beside_the_reference(
    settings, monkeypatch, days, judged
):
    recorded(settings, days)
    monkeypatch.setattr(
        experiments.drift_experiments, "stationary_control", lambda *args: {"days": args[-1]}
    )

    assert found(settings)["control"] == {"days": judged}


def test_a_missing_day_is_named(settings, monkeypatch):
    recorded(settings, 60)

    def missing(*_):
        raise MissingPartition("interactions", "2017-03-01", "file:///shop/interactions")

    monkeypatch.setattr(experiments.drift_experiments, "stationary_control", missing)

    assert "2017-03-01" in found(settings)["not_run"]["control"]
