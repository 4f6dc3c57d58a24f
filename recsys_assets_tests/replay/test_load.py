"""The load is constant, and knows which release must answer."""

import time
from itertools import islice

import pytest

from recsys_assets_tests.replay.made_up import Shop, answer, traffic
from replay.load import BrokenLoad, Load, ReleaseWatch

RATE = 200.0


def load(shop):
    return Load("nowhere", RATE, shop.client)


def test_every_session_is_sent_once_and_its_answer_found():
    shop, day = Shop(), traffic(20)
    with load(shop) as running:
        running.send(day.requests())
        answers = running.wait_for_sessions(day)

    assert sorted(shop.asked) == sorted(f"2017-10-01-{n}" for n in range(20))
    assert sorted(answers) == list(range(20))
    assert {(found.release, found.item_ids) for found in answers.values()} == {(7, ("milk",))}


def test_it_is_never_faster_than_its_rate():
    shop, day = Shop(), traffic(20)
    with load(shop) as running:
        started = time.time()
        running.send(day.requests())
        answers = running.wait_for_sessions(day)

    assert max(found.due for found in answers.values()) >= started + 18 / RATE


def test_requests_become_due_while_the_server_stalls():
    shop, day = Shop(), traffic(40)
    shop.open.clear()
    with load(shop) as running:
        running.send(day.requests())
        while running._due.qsize() + len(shop.asked) < 40:
            time.sleep(0.01)
        healed = time.time()
        shop.open.set()
        answers = running.wait_for_sessions(day)

    assert all(found.due <= healed <= found.received for found in answers.values())


def test_refused_requests_are_answers_too():
    shop, day = Shop(refuses=True), traffic(5)
    with load(shop) as running:
        running.send(day.requests())
        answers = running.wait_for_sessions(day)

    assert {found.error for found in answers.values()} == {"the ranker is dead"}


def test_other_requests_replace_those_not_yet_sent():
    shop, day = Shop(), traffic(3)
    with load(shop) as running:
        running.send(traffic(10**6, "2017-09-30").requests())
        running.send(day.requests())
        running.wait_for_sessions(day)

    assert len(shop.asked) < 10**6


def test_answers_are_collected_once():
    day = traffic(5)
    with load(Shop()) as running:
        running.send(day.requests())
        running.wait_for_sessions(day)
        assert len(running.collect()) == 5
        assert running.collect() == []


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_fault_of_the_load_itself_is_not_waited_for():
    def closed(address):
        raise OSError("too many open files")

    with Load("nowhere", RATE, closed) as running, pytest.raises(BrokenLoad):
        running.send(traffic(1).requests())
        running.wait_for_sessions(traffic(1))


def test_repeats_are_probes_of_the_same_sessions():
    day = traffic(3)
    repeats = list(islice(day.repeats(seed=0), 50))

    assert {repeat.user_id for repeat in repeats} == {"user-0", "user-1", "user-2"}
    assert {repeat.session for repeat in repeats} == {-1}
    assert len({repeat.request_id for repeat in repeats}) == 50
    assert not {r.request_id for r in repeats} & {r.request_id for r in day.requests()}


def numbers(watch, answers, changes):
    return [found.request.session for found in watch.wrong(answers, changes)]


def test_the_live_release_is_right_and_an_unknown_one_wrong():
    watch = ReleaseWatch(live=1)

    assert numbers(watch, [answer(0, release=1), answer(1, release=9)], []) == [1]
    assert watch.first_answers == {}


def test_the_old_release_is_right_for_what_was_sent_before_the_new_one_answered():
    watch = ReleaseWatch(live=1)
    answers = [
        answer(0, sent=1.0, received=2.0, release=1),
        answer(1, sent=3.0, received=4.0, release=2),
        answer(2, sent=3.9, received=5.0, release=1),
        answer(3, sent=4.1, received=5.1, release=1),
        answer(4, sent=4.2, received=5.2, release=2),
    ]

    assert numbers(watch, answers, [2]) == [3]
    assert watch.first_answers == {2: 4.0}


def test_a_release_that_is_not_promoted_yet_is_wrong():
    watch = ReleaseWatch(live=1)

    assert numbers(watch, [answer(0, release=2)], []) == [0]
    assert numbers(watch, [answer(1, release=2)], [2]) == []


def test_after_a_rollback_the_release_before_is_right_again_and_the_other_wrong():
    watch = ReleaseWatch(live=1)
    answers = [
        answer(0, sent=1.0, received=2.0, release=2),
        answer(1, sent=3.0, received=4.0, release=1),
        answer(2, sent=5.0, received=6.0, release=2),
        answer(3, sent=5.0, received=6.0, release=1),
    ]

    assert numbers(watch, answers, [2, 1]) == [2]


def test_changes_between_two_looks_count_once():
    watch = ReleaseWatch(live=1)
    assert numbers(watch, [answer(0, sent=1.0, received=2.0, release=2)], [2]) == []
    assert numbers(watch, [answer(1, sent=3.0, received=4.0, release=3)], [2, 3]) == []

    assert numbers(watch, [answer(2, sent=5.0, received=6.0, release=2)], [2, 3]) == [2]


def test_a_release_that_never_answered_is_passed_over():
    watch = ReleaseWatch(live=1)

    assert numbers(watch, [answer(0, sent=1.0, received=2.0, release=3)], [2, 3]) == []
    assert watch.live == 3
