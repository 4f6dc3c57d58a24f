"""How much is measured: the full benchmark, or one for CI that takes seconds."""

from dataclasses import dataclass

STATED_RATE = 100.0  # requests a second; the rate that figures are stated for


@dataclass(frozen=True)
class Extent:
    """Durations in seconds.

    Attributes:
        seconds: of a run that is measured.
        warm_up: before it, not measured.
        repetitions: of the stated rate.
        rates: requests a second of a server that bears them.
        slow_rates: of one that does not.
        concurrencies: requests in flight in closed loops, ascending.
        precision: of the search for the highest bearable rate.
        attempts: runs of a rate until it counts as not bearable.
    """

    seconds: float = 20.0
    warm_up: float = 3.0
    repetitions: int = 3
    rates: tuple[float, ...] = (50, 100, 200, 300, 400, 500, 600)
    slow_rates: tuple[float, ...] = (1, 2, 5, 10, 20, 50)
    concurrencies: tuple[int, ...] = (1, 2, 4, 8, 16, 32)
    precision: float = 0.1
    attempts: int = 3


QUICK = Extent(
    seconds=2.0,
    warm_up=0.5,
    repetitions=1,
    rates=(100,),
    slow_rates=(2,),
    concurrencies=(4,),
    precision=1.0,
    attempts=1,
)
