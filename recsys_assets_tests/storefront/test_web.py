import os
import signal
import subprocess
import sys
import threading

import httpx
import pytest
from fastapi.testclient import TestClient
from starlette.exceptions import HTTPException

from recsys_assets.storefront.access import Tokens
from recsys_assets.storefront.web import Gate, HttpMetrics, Service
from recsys_assets_tests.conftest import free_port
from recsys_assets_tests.storefront.fake_triton import FakeTriton
from recsys_assets_tests.waiting import LIMIT, ended, reached, until

SERVE = [
    *(sys.executable, "-W", "ignore", "-c"),
    "from recsys_assets.settings import load_settings; "
    "from recsys_assets.storefront.commands import serve_recommend; "
    "serve_recommend(obj=load_settings())",
]


def service(reason="", broken=""):
    async def ready():
        return reason

    return Service(HttpMetrics("test"), ready, lambda: broken)


def client_of(found, tokens=None):
    app = found.app(tokens, None, "/v1/things")
    app.add_api_route("/v1/things", lambda: 1 / 0)
    return TestClient(app, raise_server_exceptions=False)


class TestHealth:
    def test_well(self):
        client = client_of(service())
        assert client.get("/ready").json() == {"ready": True, "reason": ""}
        assert client.get("/live").json() == {"live": True, "reason": ""}

    def test_not_ready_but_alive(self):
        client = client_of(service(reason="the store is away"))
        assert client.get("/ready").status_code == 503
        assert client.get("/ready").json()["reason"] == "the store is away"
        assert client.get("/live").status_code == 200

    def test_beyond_help(self):
        assert client_of(service(broken="the loop hangs")).get("/live").status_code == 503

    def test_draining(self):
        found = service()
        found.draining = True
        assert client_of(found).get("/ready").json() == {"ready": False, "reason": "draining"}


def test_every_request_is_counted_and_timed_even_one_that_fails():
    client = client_of(service(), tokens=Tokens("geheim"))
    client.get("/v1/things", headers={"Authorization": "Bearer geheim"})
    client.get("/v1/things")
    client.get("/whatever")
    text = client.get("/metrics").text
    for path, status in (("/v1/things", "500"), ("/v1/things", "401"), ("other", "404")):
        labels = f'path="{path}",service="test",status="{status}"'
        assert f"recsys_http_requests_total{{{labels}}} 1.0" in text
    assert 'recsys_http_seconds_bucket{le="+Inf",path="/v1/things",service="test"} 2.0' in text


def test_a_gate_lets_in_as_many_as_it_may():
    gate = Gate(1)
    with gate.entered():
        with pytest.raises(HTTPException) as refused, gate.entered():
            pass
        assert refused.value.status_code == 503
        assert refused.value.headers == {"Retry-After": "1"}
    with gate.entered():
        pass


@pytest.mark.integration
class TestEnd:
    @pytest.fixture
    def slow(self):
        """A Triton whose answers to visitors take until they are let go."""
        go_on, asked = threading.Event(), threading.Event()

        def hold():
            asked.set()
            reached(go_on)

        with FakeTriton(hold).serve() as address:
            yield address, asked, go_on

    def test_told_to_end_it_finishes_what_it_has_begun(self, slow, tmp_path):
        address, asked, go_on = slow
        port, answers = free_port(), []
        url = f"http://127.0.0.1:{port}"
        process = subprocess.Popen(
            [*SERVE, "--port", str(port), "--drain-seconds", "3", "--deadline-ms", "10000"],
            env=os.environ | {"RECSYS_TRITON_GRPC": address, "RECSYS_HOME": str(tmp_path)},
        )
        try:
            until_ready(url)
            visitor = threading.Thread(
                target=lambda: answers.append(httpx.get(f"{url}/v1/recommendations", timeout=LIMIT))
            )
            visitor.start()
            assert reached(asked)
            process.send_signal(signal.SIGTERM)
            draining = {"ready": False, "reason": "draining"}
            until(lambda: httpx.get(f"{url}/ready").json() == draining)
            until(lambda: not listens(url))
            assert process.poll() is None
            go_on.set()
            visitor.join()
            assert ended(process) == 0
        finally:
            process.kill()
            process.wait()
        assert [one.status_code for one in answers] == [200]


def until_ready(url):
    until(lambda: listens(url) and httpx.get(f"{url}/ready").status_code == 200, "the service")


def listens(url):
    try:
        httpx.get(f"{url}/live")
    except httpx.TransportError:  # refused, or accepted and closed as it ends
        return False
    return True
