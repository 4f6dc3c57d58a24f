"""What differs between deployments for monitoring, as Dagster resources."""

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import dagster as dg

from recsys_assets.settings import Settings
from recsys_assets.storage import Store

if TYPE_CHECKING:
    from recsys_assets.monitoring.request_log import Collector


class Attribution(dg.ConfigurableResource):
    """Within how many hours a purchase counts for an answer; resource key `attribution`."""

    hours: int

    @classmethod
    def from_settings(cls, settings: Settings) -> "Attribution":
        """The window of a deployment."""
        return cls(hours=settings.attribution_hours)


class AnswerStream(dg.ConfigurableResource):
    """Where answers wait to be collected, and which are; resource key `answer_stream`.

    `last_day` is empty where the source goes on. Answers are collected before their day is over
    once a quarter of `most_uncollected` wait, or `many`.
    """

    online_store_url: str
    first_day: str
    last_day: str
    most_uncollected: int
    wait_seconds: float
    many: int = 20_000

    @classmethod
    def from_settings(cls, settings: Settings) -> "AnswerStream":
        """That of a deployment."""
        return cls(
            online_store_url=settings.online_store_url,
            first_day=settings.first_day.isoformat(),
            last_day="" if settings.last_day is None else settings.last_day.isoformat(),
            most_uncollected=settings.uncollected_answers,
            wait_seconds=settings.wait_seconds,
        )

    def collector(self, store: Store) -> "Collector":
        """What moves them to a store."""
        from recsys_assets.monitoring.request_log import Collector
        from recsys_assets.pipeline.circuit import connect_for_bulk
        from recsys_assets.releases.release import Releases

        client = connect_for_bulk(self.online_store_url)
        tomorrow = (datetime.now(UTC) + timedelta(days=1)).date().isoformat()
        days = self.first_day, self.last_day or tomorrow
        return Collector(client, Releases(store), days, self.wait_seconds)

    def length(self) -> int:
        """How many wait in the online store.

        Raises:
            redis.RedisError: it does not answer.
        """
        from recsys_assets.monitoring.answer_stream import length
        from recsys_assets.pipeline.request_log import connect

        with connect(self.online_store_url) as client:
            return length(client)

    def are_many(self) -> bool:
        """Whether it is time to collect them."""
        return self.length() >= min(self.many, -(-self.most_uncollected // 4))
