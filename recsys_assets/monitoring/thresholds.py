"""When a difference is an alert: thresholds by group of signals, and the samples they need.

And what a report says of a day: `drift_report` and `business_metrics` write it, sensors read it.
"""

from dataclasses import dataclass, field

OK = "ok"
DRIFTED = "drifted"
FALLEN = "fallen"
# There was too little to measure: the day says nothing, neither way.
TOO_FEW = "too_few_samples"
# Days that crossed a threshold.
ALARMING = (DRIFTED, FALLEN)


@dataclass(frozen=True)
class DriftThresholds:
    """Run configuration of `drift_report`; each field says what it bounds.

    A signal alerts when the lower confidence bound of its difference, after the difference that
    chance alone makes has been taken off, exceeds the threshold of its group. So thresholds can be
    lower than the customary 0.1 and 0.25 of a raw PSI: in sixty days of recorded traffic dealt
    anew, without drift, no bound came to a fifth of its threshold (`experiments.py`).
    """

    context_psi: float = field(
        default=0.05,
        metadata={"description": "PSI of the hour and the device, of requests and purchases"},
    )
    feature_psi: float = field(
        default=0.1,
        metadata={"description": "PSI of a served user feature or attribute"},
    )
    price_psi: float = field(
        default=0.025,
        metadata={"description": "PSI of prices, discounts and prices relative to the usual"},
    )
    demand_psi: float = field(
        default=0.025,
        metadata={"description": "PSI of what is bought: departments and popularity"},
    )
    null_share: float = field(
        default=0.08,
        metadata={"description": "Rise of a feature's share of missing values, 0 to 1"},
    )
    unknown_share: float = field(
        default=0.03,
        metadata={"description": "Rise of the share of unknown users, unknown or new items"},
    )
    score_kl: float = field(
        default=0.2,
        metadata={"description": "KL divergence of the prediction scores, nats"},
    )
    auc_drop: float = field(
        default=0.05,
        metadata={"description": "Fall of the AUC against the release's earlier labelled days"},
    )
    auc_floor: float = field(
        default=0.52,
        metadata={"description": "AUC below which a release alerts whatever it was before"},
    )
    calibration_ratio: float = field(
        default=2.0,
        metadata={"description": "Change of observed over predicted, as a factor either way"},
    )
    min_sessions: int = field(
        default=150,
        metadata={"description": "Sessions without which a day is not judged"},
    )
    min_labelled: int = field(
        default=60,
        metadata={"description": "Labelled sessions without which the AUC is not judged"},
    )
    min_labelled_days: int = field(
        default=3,
        metadata={"description": "Earlier days of a release that scores and AUC compare with"},
    )
    min_weekday_days: int = field(
        default=4,
        metadata={"description": "Reference days of a weekday needed to compare with it alone"},
    )
    reference_days: int = field(
        default=56,
        metadata={"description": "Days before the release's training ended that are its reference"},
    )
    resamples: int = field(
        default=300,
        metadata={"description": "Bootstrap resamples"},
    )
    confidence: float = field(
        default=0.99,
        metadata={"description": "One-sided confidence of a bound"},
    )

    def of(self, group: str) -> float:
        """The threshold of a histogram's distance in a group of signals.

        Raises:
            KeyError: the group has no histograms.
        """
        return {
            "context": self.context_psi,
            "features": self.feature_psi,
            "prices": self.price_psi,
            "demand": self.demand_psi,
            "scores": self.score_kl,
        }[group]


@dataclass(frozen=True)
class BusinessThresholds:
    """Run configuration of `business_metrics`: when a figure has fallen.

    A fall alerts when its lower bound exceeds `fall`, and `sigmas` standard deviations of the
    figure over the days before, whichever is more.
    """

    fall: float = field(
        default=0.15,
        metadata={"description": "Fall relative to the mean of the days before, 0 to 1"},
    )
    sigmas: float = field(
        default=3.0,
        metadata={"description": "Fall in standard deviations between the days before"},
    )
    history_days: int = field(
        default=28,
        metadata={"description": "Days before that a day is compared with"},
    )
    min_history_days: int = field(
        default=7,
        metadata={"description": "Days before without which nothing is compared"},
    )
    min_weekday_days: int = field(
        default=4,
        metadata={"description": "Days of the same weekday needed to compare with them alone"},
    )
    min_sessions: int = field(
        default=100,
        metadata={"description": "Sessions without which a day is not judged"},
    )
    resamples: int = field(
        default=1000,
        metadata={"description": "Bootstrap resamples"},
    )
    confidence: float = field(
        default=0.99,
        metadata={"description": "One-sided confidence of a bound"},
    )
