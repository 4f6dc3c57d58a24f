import pytest

from benchmarks.storefront import DIRECT, GATEWAY, Extent, measure
from recsys_assets_tests.storefront.fake_triton import FakeTriton

pytestmark = pytest.mark.integration


def test_both_ways_are_asked_the_same():
    triton = FakeTriton()
    with triton.serve() as address:
        found = measure(address, Extent(20.0, seconds=0.5, rounds=2, warm_up_seconds=0.2))
    assert [len(found[name]) for name in (DIRECT, GATEWAY)] == [2, 2]
    direct, gateway = found[DIRECT], found[GATEWAY]
    assert sum(one.errors for one in direct + gateway) == 0
    assert [len(one.latency_ms) for one in direct] == [len(one.latency_ms) for one in gateway]
    contents = [
        [bytes(one) for one in request.raw_input_contents if len(one) > 8]
        for request in triton.asked
    ]
    count = len(direct[-1].latency_ms)
    assert sorted(contents[-count:]) == sorted(contents[-2 * count : -count])
    assert sum(one.cpu_ms for one in gateway) > 0
