"""The days that the evaluation learns from and measures, as a Dagster resource."""

from datetime import date
from typing import TYPE_CHECKING, Self

import dagster as dg

from recsys_assets.settings import Settings
from recsys_assets.storage import Store

if TYPE_CHECKING:
    from recsys_assets.evaluation.split import Split


class EvaluationWindow(dg.ConfigurableResource):
    """History from `first_day` to the day before `today`, then `days` measured days.

    Resource key `evaluation_window`, days as YYYY-MM-DD in UTC.
    """

    first_day: str
    today: str
    days: int

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """The window that a deployment's settings name."""
        return cls(
            first_day=settings.first_day.isoformat(),
            today=settings.today.isoformat(),
            days=settings.evaluation_days,
        )

    @property
    def history(self) -> tuple[date, date]:
        """First day of history, and the first day after it."""
        return date.fromisoformat(self.first_day), date.fromisoformat(self.today)

    def split(self, store: Store) -> "Split":
        """Reads history and requests.

        Raises:
            MissingPartition: a day has not been materialized.
        """
        from recsys_assets.evaluation.split import load_split

        return load_split(store, *self.history, self.days)
