import numpy as np
import pytest

from recsys_assets.pipeline.requests import MAX_ID_BYTES, MAX_K, InvalidRequest, Requests


def check(user: bytes = b"7", device: bytes = b"", timestamp: int = 1_506_816_000, k: int = 10):
    return Requests.of(
        {
            "user_id": np.array([[user]], dtype=object),
            "device": np.array([[device]], dtype=object),
            "timestamp": np.array([[timestamp]]),
            "k": np.array([[k]], dtype=np.int32),
        }
    )


def test_unusual_but_sound_requests_pass():
    check(user=b"")
    check(user="käufer-☃".encode())
    check(user=b"x" * MAX_ID_BYTES)
    check(k=1)
    check(k=MAX_K)


@pytest.mark.parametrize("k", [0, -1, MAX_K + 1, 2**31 - 1])
def test_absurd_k_is_refused(k):
    with pytest.raises(InvalidRequest, match=f"k is {k}: ask for 1 to {MAX_K} items"):
        check(k=k)


def test_milliseconds_are_refused():
    with pytest.raises(InvalidRequest, match=r"timestamp is 1506816000000: give seconds"):
        check(timestamp=1_506_816_000_000)


@pytest.mark.parametrize("timestamp", [0, -1])
def test_times_before_1970_are_refused(timestamp):
    with pytest.raises(InvalidRequest, match="timestamp"):
        check(timestamp=timestamp)


def test_an_overlong_user_id_is_refused():
    with pytest.raises(InvalidRequest, match=r"user_id has 4097 bytes: at most 4096"):
        check(user=b"x" * (MAX_ID_BYTES + 1))


def test_bytes_that_are_no_text_are_refused():
    with pytest.raises(InvalidRequest, match=r"device is .*: send UTF-8"):
        check(device=b"\xff\xfe")


def test_several_become_one_batch_and_can_be_picked_from():
    together = Requests.together([check(b"ann", k=1), check(b"bob", b"web", k=2)])
    assert len(together) == 2
    assert together.user_ids == ["ann", "bob"]
    assert together.ks.tolist() == [1, 2]
    assert together.take(np.array([1])).devices == ["web"]
