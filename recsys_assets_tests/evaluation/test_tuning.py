import pytest

from recsys_assets.evaluation.baselines import als
from recsys_assets.evaluation.tuning import PEERS, Tuned, scorer_quality
from recsys_assets_tests.evaluation.tiny import random_split


@pytest.mark.parametrize("name", [name for name, peer in PEERS.items() if len(peer.settings) > 1])
def test_every_setting_of_a_peer_is_one_that_it_takes(name):
    split = random_split(0)

    for number in range(len(PEERS[name].settings)):
        assert 0 <= scorer_quality(PEERS[name].with_setting(number)(split), split) <= 1


def test_more_settings_than_the_budget_are_refused():
    with pytest.raises(ValueError, match="7 settings: each peer has 1 to 6"):
        Tuned(als, tuple({"seed": number} for number in range(7)))
