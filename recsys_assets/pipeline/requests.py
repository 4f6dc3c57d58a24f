"""What a request for recommendations may hold, and the checks of it. Runs in both environments."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

MAX_K = 200
MAX_ID_BYTES = 4096
# The year 2100: a later time is a mistake, most often milliseconds given for seconds.
_MAX_TIMESTAMP = 4_102_444_800


class InvalidRequest(ValueError):
    """A request that cannot be answered; the message names the input, its value and the remedy."""


@dataclass(frozen=True)
class Requests:
    """n valid requests: `user_ids` and `devices` str [n], `timestamps` and `ks` int64 [n].

    `budgets` str [n] name how far the index is searched; empty means as the release has it.
    """

    user_ids: list[str]
    devices: list[str]
    timestamps: np.ndarray
    ks: np.ndarray
    budgets: list[str]

    def __len__(self) -> int:
        return len(self.user_ids)

    @classmethod
    def of(cls, inputs: Mapping[str, np.ndarray], budget: str = "") -> "Requests":
        """Of the tensors of one Triton request: bytes [n, 1] and integers [n, 1] by name.

        Raises:
            InvalidRequest: an input is out of range; names it.
        """
        user_id, device, timestamp, k = (
            inputs[name][:, 0] for name in ("user_id", "device", "timestamp", "k")
        )
        _check_numbers(timestamp, k)
        return cls(
            _decode_strings("user_id", user_id),
            _decode_strings("device", device),
            timestamp.astype(np.int64),
            k.astype(np.int64),
            [budget] * len(k),
        )

    @classmethod
    def together(cls, parts: Sequence["Requests"]) -> "Requests":
        """All of several, one after another."""
        return cls(
            [user for part in parts for user in part.user_ids],
            [device for part in parts for device in part.devices],
            np.concatenate([part.timestamps for part in parts]),
            np.concatenate([part.ks for part in parts]),
            [budget for part in parts for budget in part.budgets],
        )

    def take(self, rows: np.ndarray) -> "Requests":
        """Those of the given numbers, int64 [m]."""
        return Requests(
            [self.user_ids[row] for row in rows],
            [self.devices[row] for row in rows],
            self.timestamps[rows],
            self.ks[rows],
            [self.budgets[row] for row in rows],
        )


def _check_numbers(timestamps: np.ndarray, ks: np.ndarray) -> None:
    for k in ks.tolist():
        if not 1 <= k <= MAX_K:
            raise InvalidRequest(f"k is {k}: ask for 1 to {MAX_K} items")
    for timestamp in timestamps.tolist():
        if not 0 < timestamp < _MAX_TIMESTAMP:
            raise InvalidRequest(
                f"timestamp is {timestamp}: give seconds since 1970-01-01 UTC, before the year 2100"
            )


def _decode_strings(name: str, values: Sequence[bytes] | np.ndarray) -> list[str]:
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
