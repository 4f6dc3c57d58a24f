import json
from types import SimpleNamespace

import numpy as np
import pytest

from recsys_assets.pipeline.diversity import Diversity, Sampling
from recsys_assets.pipeline.exploration import Exploration
from recsys_assets.pipeline.rank import STAGE
from recsys_assets.pipeline.retrieve import Depth
from recsys_assets.releases.serving_config import ServingConfig

CHOSEN = ServingConfig(
    depth=Depth(50, 10, 30),
    less=Depth(20, 5, 10, "low"),
    diversity=Diversity(0.5, 20, "dpp"),
    sampling=Sampling(0.5, 3),
    ranker_weight=0.4,
    popularity_discount=0.3,
    exploration=Exploration(0.2, 5),
)


@pytest.fixture
def kept(tmp_path):
    """Keeps a `stage.json` as a release does, and gives what is read back of it."""

    def of(stage):
        folder = tmp_path / "models" / "pipeline" / "7"
        folder.mkdir(parents=True)
        (folder / STAGE).write_text(json.dumps(stage))
        releases = SimpleNamespace(
            fetch=lambda _: tmp_path, manifest=lambda _: {"precision": {"embeddings": "fp32"}}
        )
        return ServingConfig.of(releases, 7)

    return of


def test_all_that_was_chosen_is_read_back(kept):
    assert kept(CHOSEN.as_json()) == CHOSEN


def test_a_release_from_before_discount_and_exploration_goes_on_without(kept):
    stage = CHOSEN.as_json()
    del stage["popularity_discount"], stage["exploration"]

    config = kept(stage)

    assert (config.popularity_discount, config.exploration.share) == (0, 0)
    assert config.ranker_weight == CHOSEN.ranker_weight


@pytest.mark.parametrize("name", ["ranker_weight", "popularity_discount"])
@pytest.mark.parametrize("value", [-0.1, np.nan, np.inf])
def test_a_weight_that_orders_nothing_is_refused(name, value):
    with pytest.raises(ValueError, match=f"{name} is {value}: give 0"):
        ServingConfig(**{name: value})
