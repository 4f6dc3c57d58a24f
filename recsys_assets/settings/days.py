"""Where a shop's history ends, and on which days its first models are measured."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from recsys_assets.settings.reading import InvalidSetting

VALIDATION_DAYS = 7
"""Of the days that training learns from, so many at the end validate."""


def days_between(first: date, last: date) -> list[str]:
    """Days from first to last, both included, as YYYY-MM-DD."""
    return [(first + timedelta(days=n)).isoformat() for n in range((last - first).days + 1)]


def midnight(day: date | str) -> datetime:
    """When an event day begins, in UTC; the day is a date or YYYY-MM-DD."""
    begins = date.fromisoformat(day) if isinstance(day, str) else day
    return datetime.combine(begins, time(), UTC)


def day_before(day: str) -> str:
    """The day before a day, YYYY-MM-DD."""
    return (date.fromisoformat(day) - timedelta(days=1)).isoformat()


@dataclass(frozen=True)
class Days:
    """The days of a shop, in UTC.

    `first_day` is the first with events, `last_day` the last of a recording and None where days go
    on. `today` is the first day that is not over: what is served knows events of days before it.

    The initial models are measured on `evaluation_days` that they have not learned from. Where a
    recording holds the days from today on, these are measured. Live data has only what is over,
    so its last days are held out: the models learn from the days before, while the online store,
    filters and item tables of the first release know all of history.
    """

    first_day: date
    last_day: date | None
    today: date
    evaluation_days: int

    @property
    def history_through(self) -> date:
        """The last day that is over."""
        return self.today - timedelta(days=1)

    @property
    def evaluation_from(self) -> date:
        """The first day that is measured; everything that is fitted ends before it."""
        measured_after = self.today + timedelta(days=self.evaluation_days - 1)
        if self.last_day is not None and self.last_day >= measured_after:
            return self.today
        return self.today - timedelta(days=self.evaluation_days)

    @property
    def evaluation_through(self) -> date:
        """The last day that is measured."""
        return self.evaluation_from + timedelta(days=self.evaluation_days - 1)

    @property
    def train_through(self) -> date:
        """The last day that the initial models learn from."""
        return self.evaluation_from - timedelta(days=1)

    @property
    def needed_through(self) -> date:
        """The last day that the initial pipeline reads."""
        return max(self.history_through, self.evaluation_through)

    def require_training_days(self, least: int) -> None:
        """Refuses a history that leaves fewer days to learn from than `least`.

        Raises:
            InvalidSetting: says how many are left, and from which day on there are enough.
        """
        left = (self.evaluation_from - self.first_day).days
        if left >= least:
            return
        enough = self.today + timedelta(days=least - left)
        raise InvalidSetting(
            "RECSYS_EVALUATION_DAYS",
            str(self.evaluation_days),
            f"history from {self.first_day} through {self.history_through} leaves "
            f"{max(left, 0)} days to train on, and {least} are needed: give fewer days, an "
            f"earlier RECSYS_FIRST_DAY, or begin on {enough}",
        )
