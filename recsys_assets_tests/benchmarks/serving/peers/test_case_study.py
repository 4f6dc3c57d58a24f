"""The case study's layout, really served: the same answers as ours, whatever the layout."""

import numpy as np
import pytest

from benchmarks.serving.peers.case_study import case_study
from benchmarks.serving.peers.floor import Floor, measure_floor
from benchmarks.serving.requests import Request
from recsys_assets.runtime.processes import ServiceError
from recsys_assets.triton.client import RecommendClient
from recsys_assets_tests.benchmarks.serving.peers.conftest import BOUGHT
from recsys_assets_tests.serving.fixtures import settings_in

pytestmark = [pytest.mark.integration, pytest.mark.slow]

AT = 1_506_816_000
REQUESTS = [
    Request(user, device, AT + hours * 3600, k)
    for user, device, hours, k in (
        ("ann", "web", 0, 10),
        ("ann", "", 30, 50),
        ("bob", "mobile", 9, 10),
        ("nobody", "web", 3, 10),
        ("", "mobile", 0, 10),
    )
]


@pytest.fixture(scope="module")
def floor(deployment):
    return Floor.load(deployment)


@pytest.mark.parametrize("cached", [False, True], ids=["live", "cached"])
def test_the_peer_answers_as_ours_does(deployment, floor, cached, tmp_path):
    with case_study(deployment, cached, tmp_path) as running:
        assert "feast_user_lookup" in running.processes
        assert ("feast_item_lookup" in running.processes) != cached
        with RecommendClient(running.grpc, probe=True) as client:
            for asked in REQUESTS:
                answer = client.recommend(asked.user_id, asked.timestamp, asked.device, asked.k)
                assert answer.item_ids == floor.answer(asked)
                assert not answer.degraded
    assert not (tmp_path / "case_study" / "triton" / "triton.pid").exists()


def test_the_floor_leaves_out_what_is_bought(floor):
    slate = floor.answer(REQUESTS[0])
    assert len(slate) == 10
    assert not set(slate) & set(BOUGHT)


def test_the_floor_is_measured_where_served_models_run(deployment):
    latencies = measure_floor(deployment, [(0.001 * n, asked) for n, asked in enumerate(REQUESTS)])
    assert latencies.shape == (len(REQUESTS),)
    assert (latencies[~np.isnan(latencies)] > 0).all()


def test_without_a_promoted_release_there_is_nothing_to_measure(tmp_path):
    settings = settings_in(tmp_path / "home")
    with pytest.raises(ServiceError, match="promoted"), case_study(settings, True, tmp_path):
        pass
