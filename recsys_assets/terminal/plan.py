"""The steps of a run with their shares of the whole, and where in it the run is."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Plan:
    """What will be done.

    `seconds` holds the expected seconds of every step in the order of execution, those of checks
    too; `checks` names the checks among them. `reused` names assets that are up to date. `basis`
    says where a run took as long.
    """

    seconds: Mapping[str, float]
    checks: frozenset[str]
    reused: Sequence[str]
    basis: str

    @property
    def steps(self) -> list[str]:
        """The steps that make assets."""
        return [name for name in self.seconds if name not in self.checks]

    def shares(self) -> dict[str, int]:
        """Share of each step in whole percent, that of all checks as `checks`; 100 together."""
        seconds = {name: self.seconds[name] for name in self.steps}
        if self.checks:
            seconds["checks"] = sum(self.seconds[name] for name in self.checks)
        return _percent(seconds)

    def lines(self) -> list[str]:
        """The plan as a person reads it."""
        if not self.steps:
            return ["plan: nothing to make", *self._reused()]
        minutes = sum(self.seconds.values()) / 60
        shown = [f"{name} {share} %" for name, share in self.shares().items()]
        return [
            f"plan: {len(self.steps)} steps; they took {max(minutes, 1):.0f} min {self.basis}:",
            *(
                f"  {', '.join(shown[at : at + _IN_A_LINE])}"
                for at in range(0, len(shown), _IN_A_LINE)
            ),
            *self._reused(),
        ]

    def _reused(self) -> list[str]:
        if not self.reused:
            return []
        return [f"{len(self.reused)} assets are up to date: {', '.join(self.reused)}"]


_IN_A_LINE = 4


def _percent(seconds: Mapping[str, float]) -> dict[str, int]:
    """Whole percents by largest remainder."""
    whole = sum(seconds.values())
    if not whole:
        return dict.fromkeys(seconds, 0)
    exact = {name: 100 * value / whole for name, value in seconds.items()}
    rounded = {name: int(value) for name, value in exact.items()}
    by_remainder = sorted(exact, key=lambda name: rounded[name] - exact[name])
    for name in by_remainder[: 100 - sum(rounded.values())]:
        rounded[name] += 1
    return rounded


class Position:
    """Where in a plan the run is.

    A step that goes on counts by its time, up to what was expected of it.
    """

    def __init__(self, plan: Plan, clock: Callable[[], float] = time.monotonic) -> None:
        self._plan, self._clock = plan, clock
        self._done: set[str] = set()
        self._begun: list[str] = []
        self._step, self._since = "", 0.0

    def started(self, step: str) -> None:
        """A step begins."""
        self._step, self._since = step, self._clock()
        if step not in self._plan.checks:
            self._begun.append(step)

    def ended(self, step: str) -> None:
        """A step is done."""
        self._done.add(step)
        self._step = ""

    @property
    def percent(self) -> float:
        """Percent of the expected time that lies behind; 100 only when all is done."""
        seconds = self._plan.seconds
        behind = sum(value for name, value in seconds.items() if name in self._done)
        if self._step:
            behind += min(self._clock() - self._since, seconds.get(self._step, 0.0))
        percent = 100 * behind / (sum(seconds.values()) or 1)
        return min(percent, 99.0) if self._done < seconds.keys() else percent

    def __str__(self) -> str:
        return f"{len(self._begun):2}/{len(self._plan.steps)} {self.percent:3.0f} %"
