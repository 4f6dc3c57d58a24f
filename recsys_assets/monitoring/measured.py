"""One signal of one day, measured."""

from dataclasses import dataclass


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
