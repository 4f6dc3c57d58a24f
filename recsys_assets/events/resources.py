"""The resource that gives assets their input."""

from datetime import date
from pathlib import Path
from typing import Self

import dagster as dg
from pydantic import Field

from recsys_assets.events.sources import Source, open_source
from recsys_assets.settings import Settings


class SourceResource(dg.ConfigurableResource):
    """The source of the input tables (resource key `source`), days as YYYY-MM-DD.

    Events of `skipped_days` are left out, as RECSYS_SKIP_DAYS says.
    """

    name: str
    packaged_data: str
    first_day: str
    last_day: str | None = None
    url: str | None = None
    skipped_days: list[str] = Field(default_factory=list)

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """The source that a deployment's settings name."""
        return cls(
            name=settings.source,
            packaged_data=str(settings.packaged_data),
            first_day=settings.first_day.isoformat(),
            last_day=settings.last_day.isoformat() if settings.last_day else None,
            url=settings.source_url,
            skipped_days=[day.isoformat() for day in settings.skipped_days],
        )

    def get(self) -> Source:
        """The source; cheap, nothing is read before it is asked for."""
        return open_source(
            self.name,
            packaged_data=Path(self.packaged_data),
            url=self.url,
            first_day=date.fromisoformat(self.first_day),
            last_day=date.fromisoformat(self.last_day) if self.last_day else None,
        )

    def skipped(self) -> frozenset[date]:
        """The days whose events are left out."""
        return frozenset(map(date.fromisoformat, self.skipped_days))
