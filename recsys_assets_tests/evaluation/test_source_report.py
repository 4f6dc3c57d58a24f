from types import SimpleNamespace

import numpy as np
import pytest

from recsys_assets.candidates.boosted_ranker import RankerExamples
from recsys_assets.candidates.declarations import CandidateSource
from recsys_assets.candidates.union import UnitedCandidates
from recsys_assets.evaluation.rolling import WeekCandidates
from recsys_assets.evaluation.source_report import as_markdown, source_figures

ONE, OTHER = (
    CandidateSource(name, 2, lambda *_: np.zeros((0, 0)), ranked=False, description="")
    for name in ("one", "other")
)
# Two requests: items 1 (both sources), 2 (one) and 3 (other); then item 5 (one).
FOUND = UnitedCandidates(
    np.array([0, 3, 4]),
    np.array([1, 2, 3, 5]),
    np.array([0b11, 0b01, 0b10, 0b01], dtype=np.uint32),
    np.zeros((4, 0)),
)
BOUGHT = np.array([True, False, True, False])
WEEK = WeekCandidates(
    SimpleNamespace(item_ids=np.arange(10)),
    FOUND,
    RankerExamples((), np.zeros((4, 0)), FOUND.owner, BOUGHT, np.array([4, 1])),
)
SLATES = np.full((2, 10), -1)
SLATES[0, :2] = [3, 1]


def test_a_source_is_measured_alone_and_by_what_is_lost_without_it():
    one, other, together = source_figures([ONE, OTHER], WEEK, SLATES)

    assert one["recall"] == pytest.approx((1 / 4 + 0) / 2)
    assert other["recall"] == pytest.approx((2 / 4 + 0) / 2)
    assert one["only"] == 0  # what it finds, the other finds too
    assert other["only"] == pytest.approx(1 / 8)
    assert (one["candidates"], other["candidates"]) == (1.5, 1)
    assert (one["shown"], other["shown"]) == (0.5, 1)
    assert together["recall"] == pytest.approx(1 / 4)


def test_the_table_has_a_line_for_each_source():
    page = as_markdown(source_figures([ONE, OTHER], WEEK, SLATES))

    assert "| one | 2 | 2 | 0.1250 | 0.0000 | 50.0% |" in page
    assert "| all together | 4 | 2 | 0.2500 |  | 100.0% |" in page
