"""The gate's rules as a Dagster resource."""

from dataclasses import fields

import dagster as dg

from recsys_assets.retraining.gate import GateRules, Spans, spans
from recsys_assets.settings import Settings

_DEFAULTS = GateRules()


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
        return max(self.spans(day).through, learned)

    def spans(self, day: str) -> Spans:
        """The days that a partition learns from and is judged on."""
        return spans(day, self.rules(), self.attribution_hours)
