"""The same on a server that speaks S3: batches, claims of numbers, and multipart uploads."""

import threading

import boto3
import pytest
from moto.s3.models import s3_backends

from recsys_assets.releases.retention import RetentionPolicy, carry_out, plan
from recsys_assets.storage import removal
from recsys_assets.storage.s3 import StorageUnavailable
from recsys_assets_tests.serving.retained import DAY, NOW, PARTS, Shop

pytestmark = pytest.mark.integration

TWO = RetentionPolicy(keep=2, older_than_days=7)
LONG_AGO = NOW + 100 * DAY


@pytest.fixture
def s3(s3_environment, monkeypatch):
    for name, value in s3_environment.items():
        monkeypatch.setenv(name, value)
    client = boto3.client("s3")
    # Servers of one process share what they hold.
    s3_backends.reset()
    client.create_bucket(Bucket="shop")
    return client


@pytest.fixture
def shop(s3, tmp_path):
    shop = Shop("s3://shop/recsys", tmp_path)
    for part in PARTS:
        shop.train(part)
    for _ in range(4):
        shop.train("dlrm")
        shop.promote(shop.render())
    return shop


def keys(s3):
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket="shop")
    return sorted(item["Key"] for page in pages for item in page.get("Contents", ()))


def afresh(shop, folder):
    """The store as a process sees it that has no copies of anything yet."""
    return Shop(shop.store.url, folder)


def test_what_is_served_stays_whole_and_the_rest_is_gone(shop, s3, tmp_path):
    history = shop.releases.history()
    shop.releases.reject(1, "worse")
    carry_out(shop.store, plan(shop.store, TWO, LONG_AGO))
    afresh(shop, tmp_path / "other").require_consistent()
    assert shop.releases.history() == history
    assert shop.releases.numbers() == [3, 4]
    assert len(shop.store.artifact("dlrm").versions()) == 2
    gone = ("releases/1/", "releases/2/", "releases/rejected/1", "releases/claims/1")
    assert not [key for key in keys(s3) if any(name in key for name in gone)]
    assert plan(shop.store, TWO, LONG_AGO).removed == ()


def test_a_number_whose_rendering_failed_is_not_given_again(shop):
    with pytest.raises(RuntimeError), shop.releases.new():
        raise RuntimeError
    carry_out(shop.store, plan(shop.store, TWO, LONG_AGO))
    assert shop.render() == 6


def test_killed_between_any_two_calls_it_is_consistent(shop, s3, tmp_path, monkeypatch):
    monkeypatch.setattr(removal, "_AT_ONCE", 1)
    send, runs = removal._delete_on_s3, 0
    while (planned := plan(shop.store, TWO, LONG_AGO)).removed:
        calls = iter(range(3))

        def send_or_die(url, names, calls=calls):
            if next(calls, None) is None:
                raise KeyboardInterrupt
            send(url, names)

        monkeypatch.setattr(removal, "_delete_on_s3", send_or_die)
        try:
            carry_out(shop.store, planned)
        except KeyboardInterrupt:
            runs += 1
        afresh(shop, tmp_path / f"after-{runs}").require_consistent()
    assert runs > 2
    assert shop.releases.numbers() == [3, 4]


def test_many_objects_go_in_batches(shop, s3, monkeypatch):
    monkeypatch.setattr(removal, "_AT_ONCE", 100)
    batches = []
    send = removal._delete_on_s3

    def counted(url, names):
        batches.append(len(names))
        send(url, names)

    monkeypatch.setattr(removal, "_delete_on_s3", counted)
    for number in range(110):
        s3.put_object(Bucket="shop", Key=f"recsys/staging/job/part-{number}", Body=b"1")
    s3.put_object(Bucket="shop", Key="recsys-of-others/staging/job/part-0", Body=b"1")
    carry_out(shop.store, plan(shop.store, RetentionPolicy(5), NOW + 2 * DAY))
    assert batches == [100, 10]
    assert [key for key in keys(s3) if "staging" in key] == ["recsys-of-others/staging/job/part-0"]


def test_abandoned_uploads_are_aborted_and_others_are_not(shop, s3):
    for key in ("recsys/releases/9/vectors.npy", "elsewhere/vectors.npy"):
        begun = s3.create_multipart_upload(Bucket="shop", Key=key)
        s3.upload_part(
            Bucket="shop", Key=key, UploadId=begun["UploadId"], PartNumber=1, Body=b"12345"
        )
    begun = removal.uploads(shop.store.url, "releases")[0].begun  # moto says: long ago
    assert plan(shop.store, RetentionPolicy(5), begun + 6 * DAY).removed == ()
    planned = plan(shop.store, RetentionPolicy(5), begun + 8 * DAY)
    (upload,) = (item for item in planned.removed if item.kind == "upload")
    assert (upload.name, upload.size) == ("releases/9/vectors.npy", 5)
    for _ in range(2):  # the second time it has gone
        removal.abort(shop.store.url, upload.upload)
    left = s3.list_multipart_uploads(Bucket="shop")["Uploads"]
    assert [each["Key"] for each in left] == ["elsewhere/vectors.npy"]


def test_releases_are_fetched_meanwhile(shop, tmp_path):
    promoted, failures = shop.releases.promoted(), []

    def fetch(folder):
        reader = afresh(shop, folder)
        try:
            for release in (promoted.release, promoted.previous):
                reader.require_whole(release)
        except (OSError, LookupError, AssertionError) as error:
            failures.append(error)

    planned = plan(shop.store, TWO, LONG_AGO)
    readers = [threading.Thread(target=fetch, args=(tmp_path / f"{n}",)) for n in range(4)]
    for reader in readers:
        reader.start()
    carry_out(shop.store, planned)
    for reader in readers:
        reader.join()
    assert failures == []


def test_what_could_not_be_deleted_is_an_error_that_names_it(shop, monkeypatch):
    class Refuses:
        def delete_objects(self, **_):
            return {"Errors": [{"Key": "recsys/x", "Code": "AccessDenied", "Message": "no"}]}

    monkeypatch.setattr(removal, "client", Refuses)
    with pytest.raises(StorageUnavailable, match=r"s3://shop/recsys/x: .*AccessDenied.*IAM"):
        removal.delete(shop.store.url, ["x"])
