import numpy as np
import pytest

from recsys_assets.candidates.ranked_lists import RankedLists


def lists():
    """Of bo two candidates, of al three, of cy none; given in no order."""
    return RankedLists.of_users(
        ["bo", "al", "cy"],
        np.array([0, 2, 5, 5]),
        np.array([7, 3, 1, 2, 0]),
        np.array([0.5, -1, 3, 2, 1]),
    )


def shown(of, user):
    found = of.of(user)
    return None if found is None else (found.rows.tolist(), found.scores.tolist())


@pytest.fixture(params=["in memory", "mapped"])
def of(request, tmp_path):
    made = lists()
    if request.param == "in memory":
        return made
    made.save(tmp_path)
    return RankedLists.load(tmp_path)


def test_a_customer_finds_her_own_candidates(of):
    assert shown(of, "al") == ([1, 2, 0], [3, 2, 1])
    assert shown(of, "bo") == ([7, 3], [0.5, -1])
    assert shown(of, "cy") == ([], [])
    assert len(of) == 3


@pytest.mark.parametrize("user", ["", "a", "alice", "zoe", "bö"])
def test_a_stranger_has_none(of, user):
    assert of.of(user) is None


def test_ids_are_found_whatever_their_script():
    users = ["zoë", "Zoe", "张伟", "😀", "zoe"]
    made = RankedLists.of_users(users, np.arange(6), np.arange(5), np.zeros(5))
    assert [shown(made, user) for user in users] == [([row], [0.0]) for row in range(5)]


def test_items_get_other_numbers_and_those_that_are_gone_are_left_out(of):
    new = np.array([10, 11, -1, 13, -1, -1, -1, -1])

    moved = of.renumbered(new)

    assert shown(moved, "al") == ([11, 10], [3, 1])
    assert shown(moved, "bo") == ([13], [-1])


def test_a_release_without_lists_has_none_of_anybody(tmp_path):
    assert len(RankedLists.load(tmp_path)) == 0
    assert RankedLists.load(tmp_path).of("al") is None


def test_lists_of_nobody_are_kept_as_such(tmp_path):
    RankedLists.none().save(tmp_path)
    assert len(RankedLists.load(tmp_path)) == 0
