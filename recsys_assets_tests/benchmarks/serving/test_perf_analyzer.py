from benchmarks.serving.perf_analyzer import input_data, marker, read_export
from benchmarks.serving.requests import Population, Request

EXPORT = """Concurrency,Inferences/Second,p50 latency,p90 latency,p95 latency,p99 latency
4,283.924,13641,19198,22505,27656
"""


def test_the_export_is_in_microseconds():
    assert read_export(EXPORT) == {
        "rps": 283.924,
        "p50_ms": 13.641,
        "p90_ms": 19.198,
        "p99_ms": 27.656,
    }


def test_requests_in_the_tools_format():
    assert input_data([Request("ann", "web", 5, 10)]) == {
        "data": [{"user_id": ["ann"], "device": ["web"], "timestamp": [5], "k": [10]}]
    }


def test_its_requests_are_of_the_last_second_of_the_day():
    assert marker(Population([], 86_400)) == 2 * 86_400 - 1
