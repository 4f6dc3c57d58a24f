"""What differs between deployments, as Dagster resources: store, days, source, encoder, index."""

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Self

import dagster as dg
from pydantic import Field, PrivateAttr

from recsys_assets.content.encoder import Encoder
from recsys_assets.content.image_encoder import ImageEncoder
from recsys_assets.events.sources import Source, open_source
from recsys_assets.settings import Days, InvalidSetting, Settings
from recsys_assets.storage import Store

TODAY_TAG = "recsys/today"


class StoreResource(dg.ConfigurableResource):
    """The artifact store behind a storage URL (`file://` or `s3://`)."""

    url: str

    def get(self) -> Store:
        """The store; cheap, nothing is opened before it is used."""
        return Store(self.url)


class RunDays(dg.ConfigurableResource):
    """The days of a run (resource key `run_days`), as YYYY-MM-DD.

    `today` is None where it follows the clock. A run's is then the day on which its first try was
    created: each step may be a process or pod of its own, some of them begin after midnight, and
    the process that holds the definitions stays for weeks. The tag `recsys/today` of a run says
    it with priority; a command that has begun sets it.
    """

    first_day: str
    last_day: str | None = None
    today: str | None = None
    evaluation_days: int
    _today_of_run: str | None = PrivateAttr(default=None)

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """What the settings fix."""
        return cls(
            first_day=settings.first_day.isoformat(),
            last_day=settings.last_day.isoformat() if settings.last_day else None,
            today=None if settings.today_follows_clock else settings.today.isoformat(),
            evaluation_days=settings.evaluation_days,
        )

    def setup_for_execution(self, context: dg.InitResourceContext) -> None:
        """Finds what the run says."""
        run, instance = context.run, context.instance
        if run is not None and instance is not None:
            self._today_of_run = run.tags.get(TODAY_TAG) or self.today or _created(run, instance)

    def get(self) -> Days:
        """The days of the run.

        Raises:
            InvalidSetting: the run's tag is no day after the first.
        """
        first, last = date.fromisoformat(self.first_day), self.last_day
        value = self._today_of_run or self.today or datetime.now(UTC).date().isoformat()
        try:
            today = date.fromisoformat(value)
        except ValueError:
            raise InvalidSetting(TODAY_TAG, value, "give a day as YYYY-MM-DD") from None
        if today <= first:
            raise InvalidSetting(TODAY_TAG, value, f"give a day after the first, {first}")
        return Days(first, date.fromisoformat(last) if last else None, today, self.evaluation_days)


def today_of_live(run: dg.DagsterRun, instance: dg.DagsterInstance) -> date:
    """What a run on live data takes for today."""
    return date.fromisoformat(run.tags.get(TODAY_TAG) or _created(run, instance))


def _created(run: dg.DagsterRun, instance: dg.DagsterInstance) -> str:
    """The UTC day on which the first try of a run was created, of the run if that is deleted."""
    tries = (instance.get_run_record_by_id(one) for one in (run.root_run_id, run.run_id) if one)
    record = next(record for record in tries if record is not None)
    return record.create_timestamp.astimezone(UTC).date().isoformat()


class TextEncoderResource(dg.ConfigurableResource):
    """Sentence-BERT with its weights under `packaged_data`; resource key `text_encoder`."""

    packaged_data: str
    threads: int = 2

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """The encoder of a deployment."""
        return cls(packaged_data=str(settings.packaged_data))

    def get(self) -> Encoder[str]:
        """Loads the encoder.

        Raises:
            MissingWeights: its files are not there.
        """
        from recsys_assets.content.encoder import SentenceBert

        return SentenceBert(Path(self.packaged_data), self.threads)


class ImageEncoderResource(dg.ConfigurableResource):
    """The encoder of pictures in `folder`, else the packaged one; resource key `image_encoder`."""

    packaged_data: str
    folder: str | None = None
    threads: int = 2

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """The encoder of a deployment."""
        folder = settings.image_encoder
        return cls(
            packaged_data=str(settings.packaged_data),
            folder=None if folder is None else str(folder),
        )

    def get(self) -> ImageEncoder:
        """Loads the encoder.

        Raises:
            MissingWeights: its files are not there.
            InvalidImageEncoder: they cannot be used.
        """
        from recsys_assets.content.image_encoder import open_image_encoder

        folder = None if self.folder is None else Path(self.folder)
        return open_image_encoder(folder, Path(self.packaged_data), self.threads)


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


class VectorIndex(dg.ConfigurableResource):
    """The kind of vector index, as RECSYS_INDEX; resource key `vector_index`."""

    kind: str

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """The index of a deployment."""
        return cls(kind=settings.index_kind)
