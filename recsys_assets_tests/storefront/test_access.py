import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from recsys_assets.storefront.access import (
    TokenCheck,
    Tokens,
    UnprotectedBind,
    require_protection,
)


def client_of(tokens):
    app = FastAPI()
    app.add_middleware(TokenCheck, tokens=tokens)
    app.add_api_route("/v1/things", lambda: "things")
    app.add_api_route("/live", lambda: "alive")
    return TestClient(app)


@pytest.fixture
def client():
    return client_of(Tokens("geheim-☃"))


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


class TestRotation:
    @pytest.fixture
    def file(self, tmp_path):
        file = tmp_path / "token"
        file.write_text("old\n")
        return file

    @pytest.fixture
    def clock(self):
        """Reads on when it is told to."""
        now = [0.0]

        def clock():
            return now[0]

        clock.passes = lambda: now.__setitem__(0, now[0] + 60)
        return clock

    @pytest.fixture
    def statuses(self, file, clock):
        client = client_of(Tokens(file.read_text(), file, clock))

        def statuses():
            asked = (authorization(f"Bearer {token}") for token in ("old", "new"))
            return [client.get("/v1/things", headers=one).status_code for one in asked]

        return statuses

    def test_nobody_is_refused_while_callers_move_to_the_new_one(self, file, clock, statuses):
        assert statuses() == [200, 401]
        file.write_text("old\nnew\n")
        clock.passes()
        assert statuses() == [200, 200]
        file.write_text("new\n")
        clock.passes()
        assert statuses() == [401, 200]

    @pytest.mark.parametrize("content", [None, b"", b"\n \n", b"\xff"])
    def test_a_file_that_holds_none_changes_nothing_and_is_told(
        self, file, clock, statuses, caplog, content
    ):
        file.unlink()
        if content is not None:
            file.write_bytes(content)
        clock.passes()
        assert statuses() == [200, 401]
        assert f"stay as they were: {file}" in caplog.text
        file.write_text("new")
        clock.passes()
        assert statuses() == [401, 200]

    def test_without_a_file_several_may_be_given_too(self):
        tokens = Tokens("old\nnew")
        assert [tokens.know(token) for token in (b"old", b"new", b"old\nnew")] == [
            True,
            True,
            False,
        ]
