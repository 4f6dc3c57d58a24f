"""The quick benchmark against a small deployment: its own Triton, Valkey and untrained models."""

import json

import pytest

from benchmarks.serving import __main__ as bench_serving
from benchmarks.serving import faults, overload, soak
from recsys_assets.pipeline.request_log import STREAM
from recsys_assets.services import deployment as services
from recsys_assets_tests.benchmarks.serving.peers.conftest import deployment  # noqa: F401

pytestmark = [pytest.mark.integration, pytest.mark.slow]


@pytest.fixture
def environment(deployment, monkeypatch):  # noqa: F811
    for name, value in {
        "RECSYS_HOME": str(deployment.home),
        "RECSYS_ONLINE_STORE_URL": deployment.online_store_url,
        "RECSYS_TRITON_HTTP": deployment.triton_http,
        "RECSYS_TRITON_GRPC": deployment.triton_grpc,
        "RECSYS_TRITON_METRICS": deployment.triton_metrics,
    }.items():
        monkeypatch.setenv(name, value)
    yield deployment
    services.down(deployment)
    services.Valkey.of(deployment).start()


def test_ours_beside_the_floor(environment, capsys):
    import redis

    bench_serving.main(["--quick", "--layouts", "ours", "floor"])
    found = json.loads((environment.home / "bench" / "serving.json").read_text())
    ours = found["layouts"]["ours"]
    assert ours["rates"]["100"]["requests"] > 100
    assert ours["rates"]["100"]["errors"] == 0
    assert ours["saturation_rps"] > 0
    assert found["ratios"]["p50_over_floor"] > 0
    assert set(found["closed_loop"]) == {"1", "4", "16"}
    assert {"pipeline", "recommend"} <= set(found["stages"]["ours"])
    assert {"tritonserver", "valkey", "generator"} < set(found["usage"]["ours"]["processes"])
    assert found["request_log"]["answers_logged"] >= found["request_log"]["answers_measured"]
    with redis.Redis.from_url(environment.online_store_url) as store:
        assert store.xlen(STREAM) == 0, "the benchmark takes its answers out of the log again"
    assert "ours" in capsys.readouterr().out
    assert (environment.home / "bench" / "serving.png").read_bytes().startswith(b"\x89PNG")


def test_overload_soak_and_faults(environment):
    folder = environment.home / "bench"
    overload.main(["--quick", "--capacity", "60"])
    assert json.loads((folder / "overload.json").read_text())["unexpected_errors"] == {}
    soak.main(["--quick", "--capacity", "40"])
    found = json.loads((folder / "soak.json").read_text())
    assert found["failures"] == {}
    assert any(name.startswith("pipeline") for name in found["memory"])
    faults.main(["--quick"])
    found = json.loads((folder / "faults.json").read_text())
    assert found["online_store"]["during"]["degraded"] > 0
    assert found["model_process"]["after"]["failed"] > 0
    assert set(found["met"]) == {"online store", "model process"}
