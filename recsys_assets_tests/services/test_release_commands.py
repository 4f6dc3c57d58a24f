import json

import pytest

from recsys_assets.releases.release import MANIFEST, Reason, Releases
from recsys_assets.services.release_commands import as_lines, summarize
from recsys_assets.storage import Store


@pytest.fixture
def releases(tmp_path):
    """A first release, a better one, one that the gate rejected, and one that nobody checked."""
    releases = Releases(Store(tmp_path.as_uri()))
    for release in (1, 2, 3, 4):
        with releases.new() as draft:
            manifest = {
                "release": release,
                "rendered_at": f"2026-11-0{release}T12:00:00+00:00",
                "base_release": release - 1 or None,
                "trained_through": f"2017-10-0{release}",
                "cause": "initial training" if release == 1 else "drift of price",
            }
            (draft.path / MANIFEST).write_text(json.dumps(manifest))
    for release in (1, 2):
        releases.approve(release)
    releases.record(1, (), Reason("initial training", "run 1"))
    releases.record(2, (1,), Reason("drift of price", "drift_sensor"))
    releases.reject(3, "no better than release 2")
    return releases


def test_a_release_has_its_verdict_and_its_story(releases):
    first, second, third, fourth = summarize(releases)
    assert [s.verdict for s in (first, second, third, fourth)] == [
        "approved",
        "approved",
        "rejected",
        "not checked",
    ]
    assert [s.live for s in (first, second, third, fourth)] == [False, True, False, False]
    assert third.rejection == "no better than release 2"
    assert [change.by for change in second.changes] == ["drift_sensor"]


def test_the_table_shows_it_all(releases):
    releases.record(1, (), Reason("sales fell", "ann"), "rolled back")
    releases.reject(2, "rolled back: sales fell")
    at = [change.promoted_at for change in releases.history()]
    assert as_lines(summarize(releases)) == [
        "   release  rendered                   base  trained through  verdict",
        "*  1        2026-11-01T12:00:00+00:00        2017-10-01       approved",
        "      made: initial training",
        f"      promoted {at[0]} by run 1: initial training",
        f"      live again {at[2]} by ann: sales fell",
        "   2        2026-11-02T12:00:00+00:00  1     2017-10-02       rejected",
        "      made: drift of price",
        f"      promoted {at[1]} by drift_sensor: drift of price",
        "      rejected: rolled back: sales fell",
        "   3        2026-11-03T12:00:00+00:00  2     2017-10-03       rejected",
        "      made: drift of price",
        "      rejected: no better than release 2",
        "   4        2026-11-04T12:00:00+00:00  3     2017-10-04       not checked",
        "      made: drift of price",
    ]


def test_without_a_release_the_table_is_empty(tmp_path):
    lines = as_lines(summarize(Releases(Store((tmp_path / "nothing").as_uri()))))
    assert lines == ["  release  rendered  base  trained through  verdict"]
