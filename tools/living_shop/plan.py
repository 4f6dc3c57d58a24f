"""What a living shop goes through, and when. All days are UTC."""

from dataclasses import dataclass
from datetime import date, timedelta
from functools import cached_property


class ImpossiblePlan(ValueError):
    """The days asked for cannot be lived; the message says why and what to ask for."""


@dataclass(frozen=True)
class Plan:
    """`days` days from `start` on, after `history` days that are delivered at once.

    The first release is begun on the evening before `start`. The shop is closed on one weekday;
    on one day it sells nothing; one day's file is wrong, and is corrected two days later.

    What happens follows from all of these days. `through` ends the life before the last of them.
    """

    start: date
    days: int
    history: int
    through: date | None = None

    def __post_init__(self) -> None:
        if self.days < 3:
            raise ImpossiblePlan(f"{self.days} days are too few for a correction: live 3 or more")
        if self.empty_day.weekday() == self.closed_weekday:
            raise ImpossiblePlan(
                f"of {self.days} days, the one without sales ({self.empty_day}) is a closed "
                f"weekday: live {self.days + 2}"
            )
        if self.through not in (None, *self.planned):
            raise ImpossiblePlan(
                f"{self.through} is none of the days: live through one from {self.planned[0]} to "
                f"{self.planned[-1]}"
            )

    @property
    def history_from(self) -> date:
        """The first day of which anything is delivered."""
        return self.start - timedelta(days=self.history)

    @property
    def release_evening(self) -> date:
        """The day on whose evening the first release is begun; its own sales are not over."""
        return self.start - timedelta(days=1)

    @cached_property
    def planned(self) -> tuple[date, ...]:
        """All days that the plan is made for."""
        return tuple(self.start + timedelta(days=number) for number in range(self.days))

    @cached_property
    def lived(self) -> tuple[date, ...]:
        """Those of them that are to be lived: the days with visitors."""
        return tuple(day for day in self.planned if day <= (self.through or day))

    @property
    def closed_weekday(self) -> int:
        """The weekday without sales, Monday being 0: that of the evening of the first release."""
        return self.release_evening.weekday()

    @property
    def empty_day(self) -> date:
        """An open day on which nothing is sold."""
        return self.planned[self.days // 2]

    @property
    def corrected_day(self) -> date:
        """The day whose file is wrong at first."""
        return self.start

    @property
    def correction_day(self) -> date:
        """The day with whose files the right one arrives."""
        return self.planned[2]

    def is_open(self, day: date) -> bool:
        """Whether anything can be sold on a day."""
        return day.weekday() != self.closed_weekday
