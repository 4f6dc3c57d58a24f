"""What a request for recommendations may hold, and the checks of it. Runs in both environments."""

from collections.abc import Sequence

import numpy as np

MAX_K = 200
MAX_ID_BYTES = 4096
# The year 2100: a later time is a mistake, most often milliseconds given for seconds.
_MAX_TIMESTAMP = 4_102_444_800


class InvalidRequest(ValueError):
    """A request that cannot be answered; the message names the input, its value and the remedy."""


def check_request(
    user_ids: np.ndarray, devices: np.ndarray, timestamps: np.ndarray, ks: np.ndarray
) -> None:
    """Checks the four inputs of a request, one entry per row of the batch.

    Raises:
        InvalidRequest: names the first input that is out of range.
    """
    for k in ks.tolist():
        if not 1 <= k <= MAX_K:
            raise InvalidRequest(f"k is {k}: ask for 1 to {MAX_K} items")
    for timestamp in timestamps.tolist():
        if not 0 < timestamp < _MAX_TIMESTAMP:
            raise InvalidRequest(
                f"timestamp is {timestamp}: give seconds since 1970-01-01 UTC, before the year 2100"
            )
    decode_strings("user_id", user_ids)
    decode_strings("device", devices)


def decode_strings(name: str, values: Sequence[bytes] | np.ndarray) -> list[str]:
    """Strings of a BYTES tensor.

    Raises:
        InvalidRequest: a value is not UTF-8, or longer than `MAX_ID_BYTES`.
    """
    decoded = []
    for value in values:
        if len(value) > MAX_ID_BYTES:
            raise InvalidRequest(
                f"{name} has {len(value)} bytes: at most {MAX_ID_BYTES} are accepted"
            )
        try:
            decoded.append(value.decode())
        except UnicodeDecodeError:
            raise InvalidRequest(f"{name} is {value[:40]!r}: send UTF-8") from None
    return decoded
