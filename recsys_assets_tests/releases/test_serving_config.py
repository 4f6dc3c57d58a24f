import numpy as np
import pytest

from recsys_assets.releases.serving_config import ServingConfig


@pytest.mark.parametrize("name", ["ranker_weight", "popularity_discount"])
@pytest.mark.parametrize("value", [-0.1, np.nan, np.inf])
def test_a_weight_that_orders_nothing_is_refused(name, value):
    with pytest.raises(ValueError, match=f"{name} is {value}: give 0"):
        ServingConfig(**{name: value})
