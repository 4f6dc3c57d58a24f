import asyncio

import numpy as np
import pytest

from recsys_assets.pipeline.requests import InvalidRequest
from recsys_assets.storefront.recommend_service import TritonGateway, request_tensors
from recsys_assets.triton.client import RequestClass
from recsys_assets_tests.storefront.fake_triton import FakeTriton


def ask(target, count):
    """So many requests one after another over one channel."""

    async def run():
        triton = TritonGateway(target)
        try:
            tensors = request_tensors("ann", "web", 1_506_816_000, 5)
            return [await triton.recommend(tensors, RequestClass(), 5.0) for _ in range(count)]
        finally:
            await triton.close()

    return asyncio.run(run())


def both(first, second):
    """A target of two addresses, as the name of a headless service is."""
    return f"ipv4:{first},{second}"


def test_requests_go_to_the_servers_in_turn():
    left, right = FakeTriton(), FakeTriton()
    with left.serve() as first, right.serve() as second:
        ask(both(first, second), 20)
    assert len(left.asked) + len(right.asked) == 20
    assert min(len(left.asked), len(right.asked)) >= 8


def test_a_server_that_is_away_is_left_out():
    left, right = FakeTriton(), FakeTriton()
    with left.serve() as first:
        with right.serve() as second:
            pass
        answers = ask(both(first, second), 10)
    assert [answer.release for answer in answers] == [7] * 10
    assert len(left.asked) == 10


def test_tensors_are_those_of_the_model():
    tensors = request_tensors("ann", "web", 1_506_816_000, 5)
    assert {name: values.shape for name, values in tensors.items()} == dict.fromkeys(
        tensors, (1, 1)
    )
    assert (tensors["timestamp"].dtype, tensors["k"].dtype) == (np.int64, np.int32)


def test_its_rules_are_the_models():
    with pytest.raises(InvalidRequest, match="k is 201"):
        request_tensors("ann", "web", 1_506_816_000, 201)
