import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from recsys_assets.storefront.access import (
    TokenCheck,
    UnprotectedBind,
    require_protection,
)


@pytest.fixture
def client():
    app = FastAPI()
    app.add_middleware(TokenCheck, token="geheim-☃")  # noqa: S106
    app.add_api_route("/v1/things", lambda: "things")
    app.add_api_route("/live", lambda: "alive")
    return TestClient(app)


def authorization(value: str) -> dict[str, bytes]:
    return {"Authorization": value.encode()}


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.9", "::1", "localhost"])
def test_this_machine_needs_no_token(host):
    require_protection(host, None, no_auth=False)


@pytest.mark.parametrize("host", ["192.0.2.1", "::", "10.1.2.3", "recommend"])
def test_beyond_this_machine_a_token_or_a_word_is_needed(host):
    with pytest.raises(
        UnprotectedBind, match=f"--host {host} .* set RECSYS_API_TOKEN, or give --no-auth"
    ):
        require_protection(host, None, no_auth=False)
    require_protection(host, "geheim", no_auth=False)
    require_protection(host, None, no_auth=True)


@pytest.mark.parametrize("scheme", ["Bearer", "bearer"])
def test_who_brings_the_token_is_let_in(client, scheme):
    answer = client.get("/v1/things", headers={"Authorization": f"{scheme} geheim-☃".encode()})
    assert answer.status_code == 200


@pytest.mark.parametrize("value", ["", "geheim", "Bearer", "Bearer wrong", "Basic geheim"])
def test_others_are_told_what_is_missing(client, value):
    answer = client.get("/v1/things", headers=authorization(value))
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert "Authorization: Bearer <token>" in answer.json()["detail"]


def test_health_needs_none(client):
    assert client.get("/live").status_code == 200
