import numpy as np
import pytest

from recsys_assets.evaluation.session_knn import SessionKnn

TEA, CAKE, SOAP, BREAD, ITEMS = 0, 1, 2, 3, 4


def knn(*sessions, **settings):
    """Of past sessions, the earliest first."""
    events = [(number, item) for number, session in enumerate(sessions) for item in session]
    number, item = np.array(events).reshape(-1, 2).T
    learned = SessionKnn.of(number, item, number, ITEMS)
    return SessionKnn(learned.past, **settings)


def by_the_book(past, running, neighbours, compared):
    """The same, one session after another. `past` are lists of items, the latest last."""
    weight = {item: place / len(running) for place, item in enumerate(running, 1)}
    shared = {
        number: sum(weight[item] for item in set(session) & set(weight))
        for number, session in enumerate(past)
        if set(session) & set(weight)
    }
    similar = {
        number: shared[number] / len(set(past[number])) ** 0.5
        for number in sorted(shared)[-compared:]
    }
    scores = np.zeros(ITEMS)
    for number in sorted(similar, key=lambda one: (similar[one], one))[-neighbours:]:
        scores[list(set(past[number]))] += similar[number]
    return scores


def test_sessions_that_share_items_vote_for_what_else_they_held():
    (scores,) = knn([TEA, CAKE], [SOAP, BREAD]).scores([[TEA]])

    assert scores[CAKE] > 0
    assert scores[SOAP] == scores[BREAD] == 0


def test_later_items_of_the_running_session_weigh_more():
    (scores,) = knn([TEA, CAKE], [SOAP, BREAD]).scores([[TEA, SOAP]])

    assert scores[BREAD] == pytest.approx(2 * scores[CAKE])


def test_an_item_seen_again_counts_where_it_was_last():
    model = knn([TEA, CAKE], [SOAP, BREAD])

    (again,), (once,) = model.scores([[TEA, SOAP, TEA]]), model.scores([[SOAP, SOAP, TEA]])

    assert again[CAKE] == once[CAKE]


def test_only_the_latest_are_compared_and_only_the_most_similar_vote():
    past = [TEA, CAKE], [TEA, SOAP, CAKE], [TEA, BREAD]

    (latest,) = knn(*past, compared=1).scores([[TEA]])
    (nearest,) = knn(*past, neighbours=1).scores([[TEA, SOAP]])

    assert latest[BREAD] > 0
    assert latest[CAKE] == 0
    assert nearest[BREAD] == 0
    assert nearest[CAKE] > 0


def test_the_latest_session_is_the_one_that_ended_last():
    session = np.array(["b", "a", "b", "a"])
    learned = SessionKnn.of(session, np.array([TEA, TEA, CAKE, SOAP]), np.array([1, 2, 9, 3]), 4)

    (scores,) = SessionKnn(learned.past, compared=1).scores([[TEA]])

    assert scores[CAKE] > 0
    assert scores[SOAP] == 0


def test_a_session_like_no_other_and_one_without_items_have_no_scores():
    scores = knn([TEA, CAKE]).scores([[SOAP], [], [TEA]])

    assert not scores[:2].any()
    assert scores[2].any()


def test_without_a_past_nothing_is_recommended():
    assert not knn().scores([[TEA]]).any()


@pytest.mark.parametrize("seed", range(5))
def test_it_is_what_the_book_says(seed):
    draw = np.random.default_rng(seed)
    past = [draw.integers(0, ITEMS, draw.integers(1, 6)).tolist() for _ in range(30)]
    running = [draw.integers(0, ITEMS, draw.integers(1, 6)).tolist() for _ in range(10)]

    scores = knn(*past, neighbours=4, compared=9).scores(running)

    expected = [by_the_book(past, one, 4, 9) for one in running]
    np.testing.assert_allclose(scores, expected, rtol=1e-5)
