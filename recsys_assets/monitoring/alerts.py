"""Signals of a day, measured, and those beyond their thresholds, the one to look at first on top.

Order: causes before their consequences, and within each by the revenue at risk, which is

    revenue of the day x share of its traffic that is not as it was.

That share is, of a histogram, its total variation distance (the least share of rows that fell
into another bin); of a share, its rise; of the AUC, the part of its distance from chance that was
lost; of the calibration, how far observed and predicted purchases came apart. It is not a
forecast: it says how much of the day's money passed through what has changed.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

from recsys_assets.monitoring.profile import CONCEPT, FEATURES, NULLS, SCORES, UNKNOWN

_CONSEQUENCES = (SCORES, CONCEPT)
# Of purchases: what moves a column when it moves itself.
_MOVED_BY = {
    "price": {"price_ratio", "category_l1", "popularity"},
    "discount_share": {"price_ratio", "category_l1", "popularity"},
    "price_ratio": {"category_l1"},
    "popularity": {"category_l1", "unknown_items"},
    "unknown_items": {"category_l1"},
    "new_items": {"category_l1", "unknown_items"},
    "purchase_device": {"device"},
}
# Of the revenue at risk: a small difference does not make a large one. Models can amplify it.
_EXPLAINS_FROM = 0.5
_MOVES_MODELS_FROM = 0.25


@dataclass(frozen=True)
class Measurement:
    """One signal of one day.

    Attributes:
        name: column, or `auc`, `calibration`, `scores`.
        group: of the signal; it decides the threshold.
        statistic: what `value` is: `psi`, `kl`, `share` (rise of a share), `drop`, `log_ratio`.
        value: corrected for what chance alone makes.
        low: one-sided lower confidence bound of it.
        threshold: what `low` must exceed to alert.
        samples: independent households that it rests on.
        affected: share of the traffic that is not as it was, 0 to 1.
    """

    name: str
    group: str
    statistic: str
    value: float
    low: float
    threshold: float
    samples: int
    affected: float

    @property
    def alerts(self) -> bool:
        """Whether the difference is beyond its threshold and beyond chance."""
        return self.low > self.threshold


@dataclass(frozen=True)
class Alarm:
    """One signal beyond its threshold.

    Attributes:
        name, group: the signal.
        cause: `group: name`, as run tags and people read it.
        statistic, value, low, threshold, samples: see `Measurement`.
        revenue_at_risk: in the currency of the prices, for the day.
    """

    name: str
    group: str
    cause: str
    statistic: str
    value: float
    low: float
    threshold: float
    samples: int
    revenue_at_risk: float

    def as_dict(self) -> dict[str, str | float | int]:
        """As metadata holds it."""
        return asdict(self)


def alerts_of(measurements: Sequence[Measurement], revenue: float) -> list[Alarm]:
    """The alerting measurements in the order to look at them.

    Args:
        measurements: of one day.
        revenue: of that day.
    """
    return causes_first([_alert(m, revenue) for m in measurements if m.alerts], explains)


def causes_first(alerts: Sequence[Alarm], explained: Callable[[Alarm, Alarm], bool]) -> list[Alarm]:
    """Those that no other alert explains, then the others; both by falling revenue at risk.

    Args:
        alerts: of one day.
        explained: whether the first alert explains the second.
    """

    def key(alert: Alarm) -> tuple[bool, float, str]:
        is_consequence = any(explained(other, alert) for other in alerts if other is not alert)
        return is_consequence, -alert.revenue_at_risk, alert.cause

    return sorted(alerts, key=key)


def explains(cause: Alarm, other: Alarm) -> bool:
    """Whether `cause` makes `other` a consequence.

    An input that is large enough moves scores and labels' fit. Missing values of a column move
    its distribution, and unknown users have no features. The rest is declared by column.
    """
    if other.group in _CONSEQUENCES:
        is_large = cause.revenue_at_risk >= _MOVES_MODELS_FROM * other.revenue_at_risk
        return is_large and cause.group not in _CONSEQUENCES
    if cause.revenue_at_risk < _EXPLAINS_FROM * other.revenue_at_risk:
        return False
    if other.group == FEATURES and cause.group == NULLS:
        return cause.name == other.name
    if other.group in (FEATURES, NULLS) and cause.group == UNKNOWN:
        return cause.name == "unknown_users"
    return cause.name in _MOVED_BY.get(other.name, ())


def _alert(measured: Measurement, revenue: float) -> Alarm:
    return Alarm(
        name=measured.name,
        group=measured.group,
        cause=f"{measured.group}: {measured.name}",
        statistic=measured.statistic,
        value=measured.value,
        low=measured.low,
        threshold=measured.threshold,
        samples=measured.samples,
        revenue_at_risk=round(revenue * measured.affected, 2),
    )
