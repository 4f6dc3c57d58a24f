"""The committed dashboard is what the code gives, and draws only what somebody tells."""

import json

import pytest

from recsys_assets.observability.__main__ import DASHBOARD, main
from recsys_assets.observability.dashboard import expressions, render
from recsys_assets.observability.names import named, recorded, told
from recsys_assets.settings import REPOSITORY

RULES = REPOSITORY / "observability" / "rules" / "serving.yml"


def panels():
    return json.loads(DASHBOARD.read_text())["panels"]


def test_the_committed_file_is_what_the_code_gives():
    assert DASHBOARD.read_text() == render(), "run: python -m recsys_assets.observability"


def test_it_is_written_where_one_says(tmp_path):
    main(["--to", str(tmp_path / "new" / "serving.json")])
    assert (tmp_path / "new" / "serving.json").read_text() == render()


@pytest.mark.parametrize("expression", expressions())
def test_every_metric_is_told_or_recorded(expression):
    assert named(expression)
    assert named(expression) <= told() | recorded(RULES)


def test_every_panel_has_a_place_of_its_own():
    places = [tuple(panel["gridPos"][side] for side in "xywh") for panel in panels()]
    taken = [(x + i, y + j) for x, y, w, h in places for i in range(w) for j in range(h)]
    assert len(taken) == len(set(taken))
    assert all(x + w <= 24 for x, _, w, _ in places)


def test_lines_of_a_panel_have_references_of_their_own():
    for panel in panels():
        references = [target["refId"] for target in panel.get("targets", [])]
        assert len(references) == len(set(references))
        assert "" not in references
