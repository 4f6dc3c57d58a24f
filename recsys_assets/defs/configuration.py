"""Run configuration made from hyperparameters; thresholds of monitoring and rules of the gate."""

from dataclasses import fields
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import dagster as dg

from recsys_assets.retraining.gate import EvaluationWindow, GateRules, evaluation_window
from recsys_assets.settings import Settings
from recsys_assets.storage import Store

if TYPE_CHECKING:
    from recsys_assets.monitoring.request_log import Collector

_DEFAULTS = GateRules()


def config_fields(parameters: type[Any]) -> dict[str, dg.Field]:
    """Config fields with the dataclass's types, defaults and descriptions.

    Args:
        parameters: a dataclass whose fields have `description` in their metadata.
    """
    return {
        field.name: dg.Field(
            dg.Int if isinstance(field.default, int) else dg.Float,
            default_value=field.default,
            description=field.metadata["description"],
        )
        for field in fields(parameters)
    }


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


class CandidateGate(dg.ConfigurableResource):
    """What a candidate is held to, and so which days it learns from; resource key `gate`.

    See `gate.GateRules`.
    """

    attribution_hours: int
    judged_days: int = _DEFAULTS.judged_days
    older_days: int = _DEFAULTS.older_days
    older_age_days: int = _DEFAULTS.older_age_days
    older_sessions: int = _DEFAULTS.older_sessions
    min_households: int = _DEFAULTS.min_households
    max_loss: float = _DEFAULTS.max_loss
    max_forgetting: float = _DEFAULTS.max_forgetting
    max_withdrawn: float = _DEFAULTS.max_withdrawn
    max_p50_ms: float = _DEFAULTS.max_p50_ms
    max_slowdown: float = _DEFAULTS.max_slowdown

    @classmethod
    def from_settings(cls, settings: Settings) -> "CandidateGate":
        """The default rules, for the deployment's attribution window."""
        return cls(attribution_hours=settings.attribution_hours)

    def rules(self) -> GateRules:
        """The rules."""
        return GateRules(**{field.name: getattr(self, field.name) for field in fields(GateRules)})

    def learning_through(self, day: str, learned: str) -> str:
        """The last day that a fine-tune of a partition learns from.

        A base that has learned from later days already goes on from those: the days it is judged
        on are then those that it does not know.
        """
        return max(self.evaluation_window(day).through, learned)

    def evaluation_window(self, day: str) -> EvaluationWindow:
        """The days that a partition learns from and is judged on."""
        return evaluation_window(day, self.rules(), self.attribution_hours)
