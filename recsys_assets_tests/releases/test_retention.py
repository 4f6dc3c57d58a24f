"""Whatever is removed from a store, what is served, or may be, stays whole."""

import tempfile
import threading
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys_assets.releases.retention import RetentionPolicy, StoreChanged, carry_out, plan
from recsys_assets.storage import removal
from recsys_assets_tests.serving.retained import DAY, NOW, PARTS, Shop, age

WEEK = RetentionPolicy(keep=2, older_than_days=7)
LONG_AGO = NOW + 100 * DAY  # as seen from there, everything that a test writes is old

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("train"), st.sampled_from(PARTS)),
        st.tuples(st.just("render"), st.just(0)),
        st.tuples(st.just("promote"), st.integers(0, 9)),
        st.tuples(st.just("roll back"), st.just(0)),
        st.tuples(st.just("reject"), st.integers(0, 9)),
        st.tuples(st.just("approve"), st.integers(0, 9)),
        st.tuples(st.just("age"), st.integers(1, 20)),
        st.tuples(st.just("clean"), st.integers(1, 9)),
    ),
    max_size=25,
)
POLICIES = st.builds(RetentionPolicy, keep=st.integers(2, 5), older_than_days=st.integers(1, 20))


@pytest.fixture
def shop(tmp_path):
    return stocked(tmp_path)


def stocked(folder):
    shop = Shop((folder / "storage").as_uri(), folder / "cache")
    for part in PARTS:
        shop.train(part)
    return shop


def live_through(shop, steps):
    """Does what a shop's life brings; what cannot be done just then is passed over."""
    for step, argument in steps:
        if step in EVENTS:
            EVENTS[step](shop, argument)
        elif numbers := shop.releases.numbers():
            VERDICTS[step](shop, numbers[argument % len(numbers)])


def roll_back(shop, _):
    serving = shop.releases.promoted()
    if serving and serving.previous in shop.releases.numbers():  # else it is refused
        shop.roll_back()


def grow_old(shop, days):
    for folder in ("releases", "artifacts"):
        if (shop.root / folder).exists():
            age(shop.root / folder, days)


EVENTS = {
    "train": Shop.train,
    "render": lambda shop, _: shop.render(),
    "roll back": roll_back,
    "age": grow_old,
    "clean": lambda shop, days: clean(shop, RetentionPolicy(2, days)),
}
VERDICTS = {
    "promote": Shop.promote,
    "approve": lambda shop, release: shop.releases.approve(release),
    "reject": lambda shop, release: shop.releases.reject(release, "worse"),
}


def clean(shop, policy, now=NOW):
    planned = plan(shop.store, policy, now)
    carry_out(shop.store, planned)
    return planned


def files(shop):
    return sorted(str(p.relative_to(shop.root)) for p in shop.root.rglob("*") if p.is_file())


def killed_after(monkeypatch, deletions):
    """Deletes so many objects, then is killed, at any later one."""
    left = [deletions]
    unlink = Path.unlink

    def unlink_or_die(path, missing_ok=False):
        if not path.name.startswith("."):
            if not left[0]:
                raise KeyboardInterrupt
            left[0] -= 1
        unlink(path, missing_ok)

    monkeypatch.setattr(removal.Path, "unlink", unlink_or_die)


def removed(planned, kind):
    return {item.name for item in planned.removed if item.kind == kind}


def reasons(planned, kind):
    return {item.why for item in planned.removed if item.kind == kind}


def kept(planned, kind):
    return {item.name: item.why for item in planned.kept if item.kind == kind}


@settings(max_examples=60)
@given(steps=STEPS, policy=POLICIES, later=st.integers(0, 30))
def test_after_any_history_what_is_served_stays_whole(steps, policy, later):
    with tempfile.TemporaryDirectory() as folder:
        shop = stocked(Path(folder))
        live_through(shop, steps)
        history, live = shop.releases.history(), shop.releases.promoted()
        back = [n for n in (live.before if live else ()) if n in shop.releases.numbers()]
        clean(shop, policy, NOW + later * DAY)
        shop.require_consistent()
        assert (shop.releases.history(), shop.releases.promoted()) == (history, live)
        for release in list(dict.fromkeys(reversed(back)))[: policy.keep - 1]:
            shop.require_whole(release)
        assert plan(shop.store, policy, NOW + later * DAY).removed == ()
        shop.render()
        assert len(set(shop.given)) == len(shop.given)


@settings(max_examples=40)
@given(steps=STEPS, policy=POLICIES, deletions=st.integers(0, 40))
def test_killed_at_any_deletion_it_is_consistent_and_the_next_run_ends_it(steps, policy, deletions):
    with tempfile.TemporaryDirectory() as folder:
        shop = stocked(Path(folder))
        live_through(shop, steps)
        planned = plan(shop.store, policy, LONG_AGO)
        expected = {*files(shop)} - {name for item in planned.removed for name in item.names}
        with pytest.MonkeyPatch.context() as patched:
            killed_after(patched, deletions)
            with suppress(KeyboardInterrupt):
                carry_out(shop.store, planned)
        shop.require_consistent()
        clean(shop, policy, LONG_AGO)
        shop.require_consistent()
        assert {*files(shop)} == expected


def test_releases_that_a_rollback_does_not_reach_go_with_their_parts(shop):
    for _ in range(6):
        shop.train("dlrm")
        shop.promote(shop.render())
    planned = clean(shop, RetentionPolicy(keep=3), LONG_AGO)
    assert shop.releases.numbers() == [4, 5, 6]
    assert removed(planned, "release") == {"1", "2", "3"}
    assert len(shop.store.artifact("dlrm").versions()) == 3
    assert kept(planned, "release") == {
        "6": "live",
        "5": "a rollback can go back to it",
        "4": "a rollback can go back to it",
    }
    assert not (shop.root / "releases/1").exists()


def test_however_often_data_were_refreshed_the_weights_before_stay(shop):
    shop.promote(shop.render())
    for release in (2, 3, 4, 5):
        shop.promote(shop.render())
        if release > 2:
            shop.releases.note_refresh(release, 2)
    clean(shop, WEEK, LONG_AGO)
    assert shop.releases.numbers() == [1, 4, 5]
    assert shop.releases.refreshes() == {3: 2, 4: 2, 5: 2}  # logs name them


def test_what_was_live_until_lately_stays_as_its_answers_are_still_to_be_logged(shop):
    for _ in range(5):
        shop.promote(shop.render())
    age(shop.root, 30)  # they were rendered long ago, but promoted today
    assert removed(clean(shop, WEEK), "release") == set()
    assert shop.releases.numbers() == [1, 2, 3, 4, 5]


def test_candidates_stay_while_young_and_the_newest_always(shop):
    shop.promote(shop.render())
    shop.render()
    shop.releases.reject(shop.render(), "worse")
    shop.releases.reject(shop.render(), "worse")
    assert removed(plan(shop.store, WEEK, NOW), "release") == set()
    later = plan(shop.store, WEEK, LONG_AGO)
    assert removed(later, "release") == {"3"}
    assert kept(later, "release") == {
        "1": "live",
        "2": "newest that is not rejected",
        "4": "newest",
    }


def test_a_version_that_was_current_until_now_stays_for_a_rendering_that_reads_it(shop):
    before = shop.store.artifact("dlrm").current()
    age(shop.root, 30)
    shop.train("dlrm")
    clean(shop, WEEK)
    assert before in shop.store.artifact("dlrm").versions()
    clean(shop, WEEK, LONG_AGO)
    assert shop.store.artifact("dlrm").versions() == [shop.store.artifact("dlrm").current()]


def test_artifacts_of_a_day_have_versions_of_their_own(shop):
    first, second = (shop.train("retrained_two_tower/2017-10-01") for _ in range(2))
    other = shop.train("retrained_two_tower/2017-10-02")
    planned = clean(shop, WEEK, LONG_AGO)
    assert removed(planned, "artifact") == {f"retrained_two_tower/2017-10-01/{first}"}
    assert reasons(planned, "artifact") == {"no kept release names it"}
    assert shop.store.artifact("retrained_two_tower/2017-10-01").fetch().name == second
    assert shop.store.artifact("retrained_two_tower/2017-10-02").fetch().name == other


def test_artifacts_of_old_days_go_if_named_unless_a_kept_release_is_made_of_them(shop):
    old, used, new = (f"retrained_two_tower/{(NOW - d * DAY).date()}" for d in (40, 35, 5))
    for artifact in (old, old, used, new):
        shop.train(artifact)
    age(shop.root, 30)
    shop.promote(shop.render({"two_tower": used}))
    planned = clean(shop, replace(WEEK, partition_days={"retrained_two_tower": 31}))
    assert {name.rpartition("/")[0] for name in removed(planned, "artifact")} == {old}
    assert reasons(planned, "artifact") == {"of a day that is not kept"}
    assert shop.store.artifact(old).current() is None
    assert shop.store.artifact(used).current() is not None
    assert shop.store.artifact(new).current() is not None
    shop.train(old)
    shop.store.artifact(old).fetch()


def lay(shop, name):
    file = shop.root / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("12345")


def test_leftovers_go_once_they_are_old(shop):
    shop.promote(shop.render())
    version = "20170901T000000000000-0a1b2c3d"
    for name in (
        "releases/.staging-9/models/half",
        "releases/9/models/half",
        f"artifacts/dlrm/{version}/half",
        f"artifacts/dlrm/.{version}/half",
        "tables/items/.data.parquet.0a1b",
        "answers/day=2017-09-01/.1-0_1-1_2.parquet.0a1b",
        "pipes/run-1/messages/1.json",
        "staging/user_features-0a1b/part-0",
    ):
        lay(shop, name)
    assert plan(shop.store, WEEK, NOW).removed == ()
    assert {item.kind for item in plan(shop.store, WEEK, NOW + 2 * DAY).removed} == {"staging"}
    planned = clean(shop, WEEK, NOW + 8 * DAY)
    assert planned.size == 8 * 5
    assert reasons(planned, "artifact") == {"never finished"}
    assert reasons(planned, "release") == {"never finished, or removed by halves"}
    assert {(item.kind, item.name) for item in planned.removed} == {
        ("leftover", "releases/.staging-9"),
        ("release", "9"),
        ("artifact", f"dlrm/{version}"),
        ("leftover", f"artifacts/dlrm/.{version}"),
        ("leftover", "tables/items/.data.parquet.0a1b"),
        ("leftover", "answers/day=2017-09-01/.1-0_1-1_2.parquet.0a1b"),
        ("messages", "run-1"),
        ("staging", "user_features-0a1b"),
    }
    assert not (shop.root / "releases/.staging-9").exists()
    assert (shop.root / "releases/.lock").exists()


def test_partitions_stay_for_ever_unless_their_table_is_named(shop):
    for table in ("request_log", "interactions"):
        for days in (0, 89, 91):
            day = (NOW - days * DAY).date()
            lay(shop, f"tables/{table}/day={day}/data.parquet")
    assert plan(shop.store, WEEK, LONG_AGO).removed == ()
    planned = clean(shop, replace(WEEK, partition_days={"request_log": 90}))
    assert removed(planned, "partition") == {f"request_log/{(NOW - 91 * DAY).date()}"}
    assert len(shop.store.table("request_log").days()) == 2
    assert len(shop.store.table("interactions").days()) == 3
    with pytest.raises(ValueError, match=r"no table 'requests' .*'interactions', 'request_log'"):
        plan(shop.store, RetentionPolicy(partition_days={"requests": 1}), NOW)


def test_answers_that_wait_for_a_day_go_with_it(shop):
    for days in (89, 91):
        day = (NOW - days * DAY).date()
        lay(shop, f"tables/request_log/day={day}/data.parquet")
        lay(shop, f"answers/day={day}/1-0_1-1_2.parquet")
    clean(shop, replace(WEEK, partition_days={"request_log": 90}))
    left = [path for path in (shop.root / "answers").rglob("*") if path.is_file()]
    assert [path.parent.name for path in left] == [f"day={(NOW - 89 * DAY).date()}"]


def test_the_dry_run_changes_nothing(shop):
    for _ in range(4):
        shop.promote(shop.render())
    present = files(shop)
    assert plan(shop.store, WEEK, LONG_AGO).size > 0
    assert files(shop) == present


def test_an_empty_store_has_nothing_to_remove(tmp_path):
    shop = Shop((tmp_path / "none").as_uri(), tmp_path)
    assert clean(shop, WEEK).removed == ()


def test_a_plan_that_a_promotion_has_overtaken_is_not_carried_out(shop):
    for _ in range(4):
        shop.promote(shop.render())
    planned = plan(shop.store, WEEK, LONG_AGO)
    shop.promote(1)
    with pytest.raises(StoreChanged, match="plan it again"):
        carry_out(shop.store, planned)
    assert shop.releases.numbers() == [1, 2, 3, 4]


def test_releases_are_rendered_and_fetched_meanwhile(shop):
    for _ in range(8):
        shop.train("dlrm")
        shop.promote(shop.render())
    live, failures, done = shop.releases.promoted(), [], threading.Event()

    def reads():
        while not done.is_set():
            try:
                shop.require_whole(live.release)
                shop.require_whole(live.previous)
            except (OSError, LookupError, AssertionError) as error:
                failures.append(error)

    reader = threading.Thread(target=reads)
    reader.start()
    planned = plan(shop.store, WEEK, LONG_AGO)
    made = shop.render()
    carry_out(shop.store, planned)
    done.set()
    reader.join()
    assert failures == []
    assert shop.releases.numbers() == [7, 8, made]
    shop.require_consistent()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"keep": 1}, "keep=1: the live release"),
        ({"older_than_days": 0}, "older_than_days=0"),
        ({"partition_days": {"request_log": 0}}, "request_log=0"),
    ],
)
def test_a_policy_that_is_not_safe_is_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        RetentionPolicy(**wrong)
