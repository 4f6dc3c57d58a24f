"""The committed dashboards are what the code gives, and draw only what somebody tells."""

import json

import pytest
import yaml

from recsys_assets_tests.observability.watching import run
from tools.dashboards.__main__ import BOARDS, FOLDER, main
from tools.dashboards.dashboard import render
from tools.dashboards.names import named, recorded, told

each_board = pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.name)
EXPRESSIONS = [line for board in BOARDS for line in board.expressions()]


def panels(board):
    return json.loads((FOLDER / f"{board.name}.json").read_text())["panels"]


@each_board
def test_the_committed_file_is_what_the_code_gives(board):
    committed = (FOLDER / f"{board.name}.json").read_text()
    assert committed == render(board), "run: python -m tools.dashboards"


@each_board
def test_grafanas_own_model_reads_it(board):
    from grafana_foundation_sdk.models.dashboard import Dashboard

    read = Dashboard.from_json(json.loads((FOLDER / f"{board.name}.json").read_text()))
    assert read.uid == f"recsys-{board.name}"
    drawn = [panel for panel in read.panels if panel.type_val != "row"]
    assert len(drawn) == sum(len(plots) for plots in board.rows.values())


def test_they_are_written_where_one_says(tmp_path):
    main(["--to", str(tmp_path / "new")])
    written = {file.stem: file.read_text() for file in (tmp_path / "new").iterdir()}
    assert written == {board.name: render(board) for board in BOARDS}


def test_there_is_no_file_of_a_dashboard_that_is_gone():
    assert {file.stem for file in FOLDER.iterdir()} == {board.name for board in BOARDS}


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_every_metric_is_told_or_recorded(expression):
    assert named(expression)
    assert named(expression) <= told() | recorded()


@pytest.mark.integration
def test_promtool_reads_every_expression(tmp_path):
    drawn = [{"record": f"drawn:{row}", "expr": one} for row, one in enumerate(EXPRESSIONS)]
    file = tmp_path / "drawn.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "drawn", "rules": drawn}]}))
    run("promtool", "check", "rules", "--lint=none", file)


@each_board
def test_every_panel_has_a_place_of_its_own(board):
    places = [tuple(panel["gridPos"][side] for side in "xywh") for panel in panels(board)]
    taken = [(x + i, y + j) for x, y, w, h in places for i in range(w) for j in range(h)]
    assert len(taken) == len(set(taken))
    assert all(x + w <= 24 for x, _, w, _ in places)


@each_board
def test_lines_of_a_panel_have_references_of_their_own(board):
    for panel in panels(board):
        references = [target["refId"] for target in panel.get("targets", [])]
        assert len(references) == len(set(references))
        assert "" not in references
