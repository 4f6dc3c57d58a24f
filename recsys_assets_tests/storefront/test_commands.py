from pathlib import Path

import pytest
from click.testing import CliRunner

from recsys_assets.settings import load_settings
from recsys_assets.storefront import commands, event_landing, event_service, recommend_service, web


@pytest.fixture
def served(monkeypatch):
    """What would be served: (service, app, bind)."""
    found = []
    monkeypatch.setattr(web, "serve", lambda *served: found.append(served))
    return found


@pytest.fixture
def run(tmp_path):
    def run(command, *arguments, **environment):
        settings = load_settings({"RECSYS_HOME": str(tmp_path), **environment})
        return CliRunner().invoke(command, arguments, obj=settings)

    return run


SHOP = {
    "RECSYS_SOURCE": "parquet",
    "RECSYS_SOURCE_URL": "s3://shop/raw",
    "RECSYS_FIRST_DAY": "2025-01-01",
}


@pytest.mark.parametrize(
    ("command", "port", "path"),
    [
        (commands.serve_recommend, 8090, recommend_service.PATH),
        (commands.serve_events, 8091, event_service.PATH),
        (commands.land_events, 8093, "/live"),
    ],
)
def test_services_listen_on_this_machine_unless_told_otherwise(run, served, command, port, path):
    assert run(command, **SHOP).exit_code == 0
    ((_, app, bind),) = served
    assert (bind.host, bind.port) == ("127.0.0.1", port)
    assert path in [route.path for route in app.routes]


@pytest.mark.parametrize("command", [commands.serve_recommend, commands.serve_events])
def test_beyond_it_callers_must_be_known(run, served, command):
    everywhere = ("--host", "0.0.0.0")  # noqa: S104
    refused = run(command, *everywhere)
    assert refused.exit_code == 1
    assert "set RECSYS_API_TOKEN, or give --no-auth" in refused.output
    assert run(command, *everywhere, RECSYS_API_TOKEN="geheim").exit_code == 0  # noqa: S106
    assert run(command, *everywhere, "--no-auth").exit_code == 0
    assert len(served) == 2


@pytest.mark.parametrize("command", [commands.serve_recommend, commands.serve_events])
def test_idle_connections_outlive_those_of_a_balancer(run, served, command):
    run(command)
    run(command, "--keep-alive-seconds", "400")
    assert [bind.keep_alive_seconds for _, _, bind in served] == [75, 400]


def test_a_token_of_blanks_is_none(run, served):
    refused = run(commands.serve_events, RECSYS_API_TOKEN=" ")  # noqa: S106
    assert refused.exit_code == 1
    assert "RECSYS_API_TOKEN holds no token" in refused.output


def test_what_a_service_takes_on_is_an_option(run, served, monkeypatch):
    given = []
    monkeypatch.setattr(
        recommend_service, "recommend_service", lambda *all_: given.append(all_) or (None, None)
    )
    run(commands.serve_recommend, "--concurrency", "7", "--deadline-ms", "80")
    assert given == [
        ("127.0.0.1:8701", recommend_service.QueryLimits(concurrency=7, deadline_ms=80), None)
    ]


def test_events_are_landed_where_the_source_reads(run, served, monkeypatch):
    given = []
    monkeypatch.setattr(
        event_landing, "landing_service", lambda *all_: given.append(all_[1:]) or (None, None)
    )
    run(commands.land_events, "--seconds", "5", "--events", "10", **SHOP)
    assert given == [("s3://shop/raw", event_landing.Pace(5.0, 10))]


@pytest.mark.parametrize("source", ["complete_journey", "yoochoose"])
def test_a_recorded_source_takes_no_events(run, served, tmp_path, source):
    refused = run(
        commands.land_events, RECSYS_SOURCE=source, RECSYS_SOURCE_URL=(tmp_path / "files").as_uri()
    )
    assert refused.exit_code == 1
    assert f"RECSYS_SOURCE={source} takes no new events: set RECSYS_SOURCE=parquet" in (
        refused.output
    )
    assert not served


def test_loading_the_commands_loads_no_service():
    source = Path(commands.__file__).read_text()
    top = [line for line in source.splitlines() if line.startswith(("import", "from"))]
    assert not any("fastapi" in line or "storefront" in line for line in top)
