"""What every operation of the store does when S3 does not do what it should.

Either it succeeds by trying again, or it raises the one clear error; and nothing is half-visible.
"""

import json
import uuid

import pyarrow as pa
import pytest

from recsys_assets.releases.release import MANIFEST, Reason, Releases
from recsys_assets.releases.release_events import ChangedMeanwhile
from recsys_assets.storage import MissingArtifact, MissingPartition, StorageUnavailable, Store, s3
from recsys_assets.storage.filesystem import children, write_if_absent
from recsys_assets_tests.storage import s3_proxy as faults

pytestmark = pytest.mark.integration

DAY = "2017-01-01"
BECAUSE = Reason("a test", "pytest")
ROWS = pa.table({"item_id": [str(n) for n in range(1000)]})


@pytest.fixture
def store(proxy, tmp_path):
    """A store with a partition, a version, and a promoted release."""
    store = Store(f"s3://shop/{uuid.uuid4().hex}", cache=tmp_path / "cache")
    store.table("events").write(ROWS, DAY)
    publish(store, "one")
    release(store)
    Releases(store).record(1, (), BECAUSE)
    proxy.seen.clear()
    return store


def publish(store, content):
    with store.artifact("model").new_version() as draft:
        (draft.path / "weights").write_text(content * 1000)
        (draft.path / "shape").write_text("2")
    return draft.version


def release(store):
    with Releases(store).new() as draft:
        (draft.path / "model").write_text("x" * 1000)
        (draft.path / MANIFEST).write_text(json.dumps({"release": int(draft.version)}))
    return int(draft.version)


READS = {
    "Table.read": lambda store: store.table("events").read([DAY]).num_rows == 1000,
    "Table.row_count": lambda store: store.table("events").row_count([DAY]) == 1000,
    "Table.days": lambda store: store.table("events").days() == [DAY],
    "Table.has": lambda store: store.table("events").has(DAY),
    "Artifact.current": lambda store: store.artifact("model").current() is not None,
    "Artifact.versions": lambda store: len(store.artifact("model").versions()) == 1,
    "Artifact.fetch": lambda store: len(list(store.artifact("model").fetch().iterdir())) == 3,
    "Releases.numbers": lambda store: Releases(store).numbers() == [1],
    "Releases.fetch": lambda store: (Releases(store).fetch(1) / MANIFEST).exists(),
    "Releases.promoted": lambda store: Releases(store).promoted().release == 1,
    "Releases.history": lambda store: len(Releases(store).history()) == 1,
}
WRITES = {
    "Table.write": lambda store: store.table("events").write(ROWS.slice(0, 1), DAY),
    "Artifact.new_version": lambda store: publish(store, "two"),
    "Releases.new": release,
    "Releases.record": lambda store: Releases(store).record(1, (), BECAUSE),
    "Releases.approve": lambda store: Releases(store).approve(1),
    "Releases.reject": lambda store: Releases(store).reject(1, "forgets"),
}
PASSING = {
    "slow down": lambda: faults.some(2, faults.refused(503, "SlowDown")),
    "internal error": lambda: faults.some(2, faults.refused(500, "InternalError")),
    "reset": lambda: faults.some(1, faults.cut(10)),
}


def some_at_once(operations, *always):
    """All operations; those that are not named run only where every combination does."""
    slow = [pytest.param(name, marks=pytest.mark.slow) for name in operations if name not in always]
    return [*always, *slow]


def as_before(store, proxy):
    """Nothing but what was there before is visible, here and in the store."""
    proxy.fault = faults.no_fault
    fresh = Store(store.url, cache=store.cache.with_name("fresh"))
    assert fresh.table("events").read([DAY]).equals(ROWS)
    assert len(fresh.artifact("model").versions()) == 1
    assert fresh.artifact("model").current() == fresh.artifact("model").versions()[-1]
    assert (fresh.artifact("model").fetch() / "weights").read_text() == "one" * 1000
    assert Releases(fresh).numbers() == [1]
    assert [change.number for change in Releases(fresh).history()] == [1]
    assert not Releases(fresh).is_approved(1)
    assert Releases(fresh).rejection(1) is None
    assert list(store.cache.rglob(".*")) == []


@pytest.mark.parametrize("fault", PASSING)
@pytest.mark.parametrize("operation", some_at_once(READS, "Table.read", "Artifact.fetch"))
def test_a_read_outlives_a_fault_that_passes(store, proxy, operation, fault):
    proxy.fault = PASSING[fault]()
    assert READS[operation](store)


@pytest.mark.parametrize("operation", some_at_once(READS, "Table.days", "Releases.promoted"))
def test_a_read_names_what_does_not_pass(store, proxy, operation):
    s3.use_limits(s3.S3Limits(attempts=2))
    proxy.fault = faults.refused(503, "SlowDown")
    with pytest.raises(StorageUnavailable, match=r"s3://shop/.*SlowDown.*try again later"):
        READS[operation](store)
    as_before(store, proxy)


@pytest.mark.parametrize(
    "operation", some_at_once(WRITES, "Artifact.new_version", "Releases.record")
)
def test_a_write_outlives_a_fault_that_passes(store, proxy, operation):
    proxy.fault = faults.some(2, faults.refused(503, "SlowDown"))
    WRITES[operation](store)


@pytest.mark.parametrize("operation", some_at_once(WRITES, "Table.write", "Releases.record"))
def test_a_write_that_is_refused_leaves_nothing(store, proxy, operation):
    s3.use_limits(s3.S3Limits(attempts=2))
    proxy.fault = faults.some(10**6, faults.refused(500, "InternalError"), changes)
    with pytest.raises(StorageUnavailable, match="InternalError"):
        WRITES[operation](store)
    as_before(store, proxy)


@pytest.mark.parametrize("operation", ["Artifact.new_version", "Releases.new"])
def test_a_version_of_which_one_file_is_refused_is_not_visible(store, proxy, operation):
    only = lambda request: changes(request) and request.path.endswith(("weights", "model"))  # noqa: E731
    proxy.fault = faults.some(10**6, faults.refused(500, "InternalError"), only)
    with pytest.raises(StorageUnavailable, match=r"weights|model"):
        WRITES[operation](store)
    as_before(store, proxy)


def changes(request):
    return request.command in ("PUT", "POST")


def gets(request):
    return request.command == "GET" and "list-type" not in request.path


@pytest.mark.parametrize("fault", [faults.silent, faults.stalled(10)])
@pytest.mark.parametrize("operation", ["Table.read", "Artifact.fetch", "Releases.promoted"])
def test_a_server_that_falls_silent_is_asked_again(store, proxy, operation, fault):
    s3.use_limits(s3.S3Limits(read_seconds=1))
    proxy.fault = faults.some(1, fault, gets)
    assert READS[operation](store)


@pytest.mark.parametrize("fault", [faults.silent, faults.stalled(10), faults.cut(10)])
def test_what_stays_silent_or_broken_is_named_and_nothing_is_cached(store, proxy, fault):
    s3.use_limits(s3.S3Limits(attempts=2, connect_seconds=0.5, read_seconds=0.5))
    proxy.fault = faults.some(10**6, fault, lambda r: gets(r) and r.path.endswith("weights"))
    with pytest.raises(StorageUnavailable, match="weights"):
        store.artifact("model").fetch()
    proxy.fault = faults.some(10**6, fault, gets)
    with pytest.raises(StorageUnavailable, match="check the network"):
        store.table("events").read([DAY])
    as_before(store, proxy)


@pytest.mark.parametrize(
    ("status", "code", "remedy"),
    [
        (403, "InvalidAccessKeyId", "correct AWS_ACCESS_KEY_ID"),
        (403, "SignatureDoesNotMatch", "correct AWS_ACCESS_KEY_ID"),
        (400, "ExpiredToken", "IAM role of the pod's service account"),
        (403, "AccessDenied", "IAM policy"),
        (404, "NoSuchBucket", "correct RECSYS_STORAGE"),
    ],
)
@pytest.mark.parametrize(
    "operation", some_at_once(["Table.read", "Artifact.fetch", "Releases.record"], "Table.read")
)
def test_a_refusal_names_its_remedy(store, proxy, operation, status, code, remedy):
    proxy.fault = faults.refused(status, code)
    with pytest.raises(StorageUnavailable, match=remedy):
        (READS | WRITES)[operation](store)


def test_no_route_is_named(store, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    with pytest.raises(StorageUnavailable, match="check the network and AWS_ENDPOINT_URL"):
        store.table("events").days()


def test_no_credentials_are_named(store, monkeypatch):
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(StorageUnavailable, match="the credentials are missing"):
        store.table("events").days()


def test_a_bucket_that_is_not_there_is_no_missing_partition(store):
    with pytest.raises(StorageUnavailable, match="no such bucket"):
        Store("s3://nowhere/recsys").table("events").read([DAY])


def test_what_was_never_written_stays_missing(store):
    with pytest.raises(MissingPartition):
        store.table("events").read(["2017-01-02"])
    with pytest.raises(MissingArtifact):
        store.artifact("other").fetch()


@pytest.mark.parametrize("when", ["listed", "read"])
def test_a_file_that_is_deleted_meanwhile_makes_no_version(store, proxy, when):
    version = store.artifact("model").current()
    key = f"{store.url.removeprefix('s3://shop/')}/artifacts/model/{version}/weights"

    def delete():
        s3.client().delete_object(Bucket="shop", Key=key)

    def delete_and_pass_on(request):
        if when == "listed":
            request.pass_on(meanwhile=delete)
        else:
            delete()
        return when == "listed"

    at = "list-type" if when == "listed" else "weights"
    proxy.fault = faults.some(
        1, delete_and_pass_on, lambda r: r.command != "DELETE" and at in r.path
    )
    with pytest.raises(MissingArtifact):
        store.artifact("model").fetch()
    assert list(store.cache.rglob("*")) in ([], [store.cache / "model"])


def test_a_partition_that_is_replaced_while_it_is_read_is_read_anew(proxy, tmp_path):
    table = Store(f"s3://shop/{uuid.uuid4().hex}", cache=tmp_path).table("events")
    old, new = (pa.table({"n": pa.array(range(a, a + 200_000))}) for a in (0, 1))
    table.write(old, DAY)

    def replace(request):
        proxy.fault = faults.no_fault
        table.write(new, DAY)
        return False

    # The first request brings the footer, the second one the rest.
    proxy.fault = faults.some(1, replace, lambda r: gets(r) and "If-Match" in r.headers)
    assert table.read([DAY]).equals(new)


def test_a_claim_whose_answer_was_lost_is_still_one_s_own(proxy):
    proxy.fault = faults.some(1, faults.answer_lost)
    claims = f"s3://shop/{uuid.uuid4().hex}"
    assert write_if_absent(f"{claims}/1", b"mine")
    assert not write_if_absent(f"{claims}/1", b"of another")
    assert children(claims) == ["1"]


def test_a_change_whose_answer_was_lost_counts_once(store, proxy):
    proxy.fault = faults.some(1, faults.answer_lost, changes_pointer)
    assert Releases(store).record(2, (1,), BECAUSE).number == 2
    assert [change.release for change in Releases(store).history()] == [1, 2]


def test_of_two_promoters_one_is_told_that_it_lost(store, proxy):
    def another_is_faster(request):
        proxy.fault = faults.no_fault
        Releases(store).record(2, (1,), BECAUSE)
        return False

    proxy.fault = faults.some(1, another_is_faster, changes_pointer)
    with pytest.raises(ChangedMeanwhile, match="release 2"):
        Releases(store).record(3, (1,), BECAUSE)
    assert [change.release for change in Releases(store).history()] == [1, 2]


def test_a_slower_publisher_does_not_hide_a_newer_version(store, proxy):
    model = store.artifact("model")
    with model.new_version() as slow:
        (slow.path / "weights").write_text("old")
        newer = publish(store, "new")
    assert model.current() == newer
    assert model.versions()[-2:] == [slow.version, newer]


def changes_pointer(request):
    return changes(request) and request.path.partition("?")[0].endswith("promoted.json")
