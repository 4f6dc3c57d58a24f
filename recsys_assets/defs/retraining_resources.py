"""The rules of retraining, the gate's among them, and where alerts go, as Dagster resources."""

from dataclasses import fields

import dagster as dg

from recsys_assets.retraining.alerts import AlertHook
from recsys_assets.retraining.gate import EvaluationWindow, GateRules, evaluation_window
from recsys_assets.retraining.policy import TriggerPolicy
from recsys_assets.settings import Settings
from recsys_assets.storage import Store

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
        return max(self.evaluation_window(day).through, learned)

    def evaluation_window(self, day: str) -> EvaluationWindow:
        """The days that a partition learns from and is judged on."""
        return evaluation_window(day, self.rules(), self.attribution_hours)


class RetrainingPolicy(dg.ConfigurableResource):
    """How much evidence it takes to retrain, and how long to wait after: see `TriggerPolicy`."""

    drifted_days: int
    window_days: int
    cooldown_days: int
    retrain_every_days: int
    rejections_before_retrain: int

    @classmethod
    def from_settings(cls, settings: Settings) -> "RetrainingPolicy":
        """What the settings mean."""
        drifted_days, window_days = settings.drift_days
        return cls(
            drifted_days=drifted_days,
            window_days=window_days,
            cooldown_days=settings.cooldown_days,
            retrain_every_days=settings.retrain_every_days,
            rejections_before_retrain=settings.rejections_before_retrain,
        )

    def get(self) -> TriggerPolicy:
        """The rules."""
        return TriggerPolicy(
            drifted_days=self.drifted_days,
            window_days=self.window_days,
            cooldown_days=self.cooldown_days,
            retrain_every_days=self.retrain_every_days,
            rejections_before_retrain=self.rejections_before_retrain,
        )


class AlertHookResource(dg.ConfigurableResource):
    """Where alerts go."""

    storage_url: str
    url: str | None = None

    @classmethod
    def from_settings(cls, settings: Settings) -> "AlertHookResource":
        """What the settings mean."""
        return cls(storage_url=settings.storage_url, url=settings.alert_url)

    def get(self) -> AlertHook:
        """The hook."""
        return AlertHook(Store(self.storage_url), self.url)
