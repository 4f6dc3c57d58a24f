"""What happened in each second of a load."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from benchmarks.serving.measuring import percentiles
from benchmarks.serving.outcomes import ANSWERED, EXPIRED, KINDS, REFUSED, Outcomes

MOST_LAG_MS = 100.0
_NORMAL = 1.5  # times the p99 of before


@dataclass(frozen=True)
class Second:
    """Requests that were due in one second; latencies are of those accepted.

    `lag_ms` is by how much the generator was late at most: where it is large, the machine was busy
    with something else, or stood still, and the second says little about the server.
    """

    second: int
    offered: int
    answered: int
    degraded: int
    failed: dict[str, int] = field(default_factory=dict)
    p50_ms: float = float("nan")
    p99_ms: float = float("nan")
    lag_ms: float = 0.0

    @property
    def whole(self) -> bool:
        """Whether every request got an answer in full."""
        return not self.failed and not self.degraded


def by_second(outcomes: Outcomes, seconds: int) -> list[Second]:
    """`seconds` of them, from the beginning on."""
    found = []
    for number in range(seconds):
        part = outcomes.within(number, number + 1)
        answered = part.kind == ANSWERED
        latency = percentiles(part.latency_ms[part.served])
        failed = {kind: int((part.kind == kind).sum()) for kind in KINDS if kind != ANSWERED}
        found.append(
            Second(
                number,
                len(part),
                int(answered.sum()),
                int(part.degraded[answered].sum()),
                {kind: count for kind, count in failed.items() if count},
                latency["p50_ms"],
                latency["p99_ms"],
                round(float(np.nanmax(part.lag_ms, initial=0.0)), 1),
            )
        )
    return found


def seconds_until_whole(seconds: Sequence[Second], since: float, until: float) -> float | None:
    """From a moment to the end of the last second before `until` with a failed or degraded answer.

    0 if there was none; None if it was not whole again by `until`.
    """
    part = [second for second in seconds if since - 1 < second.second < until]
    broken = [second.second for second in part if not second.whole]
    if not broken:
        return 0.0
    if broken[-1] == part[-1].second:
        return None
    return max(0.0, broken[-1] + 1 - since)


def seconds_until_normal(
    seconds: Sequence[Second], since: float, before_p99_ms: float
) -> float | None:
    """From a moment to the end of the last second that was not normal; None if the last was not.

    Normal is a p99 of at most 1.5 times that of before and every answer in full. A second with no
    request is normal.
    """
    part = [second for second in seconds if second.second >= since]
    bad = [second.second for second in part if not _normal(second, before_p99_ms)]
    if not bad:
        return 0.0
    return None if bad[-1] == part[-1].second else bad[-1] + 1 - since


def late_seconds(seconds: Sequence[Second]) -> list[int]:
    """Seconds in which the generator itself was late by more than `MOST_LAG_MS`."""
    return [second.second for second in seconds if second.lag_ms > MOST_LAG_MS]


def unexpected(outcomes: Outcomes) -> Mapping[str, int]:
    """Failures that are no stated refusal, by message."""
    counts: dict[str, int] = {}
    for number, message in outcomes.messages.items():
        if outcomes.kind[number] not in (REFUSED, EXPIRED):
            counts[message] = counts.get(message, 0) + 1
    timeouts = int((outcomes.kind == "deadline").sum()) - sum(
        outcomes.kind[number] == "deadline" for number in outcomes.messages
    )
    return counts | ({"no answer in time": timeouts} if timeouts else {})


def _normal(second: Second, before_p99_ms: float) -> bool:
    quick = np.isnan(second.p99_ms) or second.p99_ms <= _NORMAL * before_p99_ms
    return bool(quick) and second.whole
