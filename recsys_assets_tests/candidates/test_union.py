import numpy as np
import pytest

from recsys_assets.candidates.declarations import CandidateSource
from recsys_assets.candidates.source_scores import SourceScores
from recsys_assets.candidates.union import unite
from recsys_assets_tests.candidates.tiny import ITEMS, sources

NOTHING = -np.inf
CATALOGUE = range(len(ITEMS))


def declared(name, scores, quota=2, ranked=True, items=CATALOGUE):
    """A source that gives every customer the same scores of the items."""
    known, row = np.array(items, dtype=int), np.array(scores, dtype=np.float32)

    def score(_, users):
        return SourceScores(known, np.tile(row, (len(users), 1)))

    return CandidateSource(name, quota, score, ranked, "")


def united(*declared, users=1, excluded=()):
    return unite(
        sources(1),
        declared,
        np.full(users, -1, dtype=np.int32),
        lambda start, stop: [np.array(excluded, dtype=int)] * (stop - start),
    )


def test_an_item_that_two_sources_bring_is_one_candidate_of_both():
    found = united(
        declared("one", [9, 8, 1, 0, 0, 0]), declared("two", [0, 5, 6, 0, 0, 0], ranked=False)
    )

    assert found.item.tolist() == [0, 1, 2]
    assert found.found_by.tolist() == [0b01, 0b11, 0b10]
    assert found.scores.tolist() == [[9], [8], [1]]  # of the ranked source, of every candidate


def test_sources_that_know_other_items_are_united_by_the_catalogues_rows():
    found = united(
        declared("one", [7, 9], items=[1, 4]),
        declared("two", [3, 5, 4], items=[0, 4, 5]),
        declared("none", [], items=[]),
    )

    assert found.item.tolist() == [1, 4, 5]
    assert found.found_by.tolist() == [0b01, 0b11, 0b10]
    assert found.scores.tolist() == [
        [7, NOTHING, NOTHING],
        [9, 5, NOTHING],
        [NOTHING, 4, NOTHING],
    ]


def test_what_is_excluded_takes_no_place():
    found = united(declared("one", [9, 8, 7, 0, 0, 0]), excluded=[0])

    assert found.item.tolist() == [1, 2]


def test_a_source_may_bring_fewer_than_its_quota_or_nothing():
    few = declared("few", [NOTHING, 3, *[NOTHING] * 4])
    none = declared("none", [NOTHING] * 6)

    assert united(few, none).item.tolist() == [1]
    assert len(united(none).item) == 0
    assert len(united(none)) == 1  # a request without a candidate is a request


@pytest.mark.parametrize(("quota", "count"), [(0, 0), (1000, len(ITEMS))])
def test_a_quota_of_none_or_of_more_than_the_catalogue(quota, count):
    assert len(united(declared("one", range(6), quota)).item) == count


def test_a_customer_who_has_bought_everything_gets_nothing():
    assert len(united(declared("one", range(6)), excluded=range(6)).item) == 0


def test_of_ties_everywhere_the_first_of_the_catalogue_fill_the_quota():
    assert united(declared("one", [1] * 6, quota=4)).item.tolist() == [0, 1, 2, 3]


def test_requests_beyond_a_block_keep_their_candidates():
    found = united(declared("one", [9, 8, 7, 0, 0, 0]), users=300)

    assert np.diff(found.starts).tolist() == [2] * 300
    assert found.owner.tolist() == [n for n in range(300) for _ in range(2)]


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_a_score_without_an_order_is_refused_by_the_name_of_its_source(wrong):
    with pytest.raises(
        ValueError, match=r"item 5 has the score .*: candidate source 'odd' has diverged"
    ):
        united(declared("odd", [1, 2, wrong], items=[0, 3, 5]))
