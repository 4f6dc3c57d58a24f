"""The drift of one day against what the live release was trained on."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from recsys_assets.monitoring.alerts import Alarm, Measurement, alerts_of
from recsys_assets.monitoring.loading import (
    as_live,
    day_traffic,
    live_release,
    reference_days,
    reference_traffic,
)
from recsys_assets.monitoring.measurement import measure_frames
from recsys_assets.monitoring.outcomes import days_judged
from recsys_assets.monitoring.profile import NULLS, Profile
from recsys_assets.monitoring.thresholds import DRIFTED, OK, TOO_FEW, DriftThresholds
from recsys_assets.monitoring.traffic import Traffic
from recsys_assets.releases.release import Releases
from recsys_assets.storage import Store

# Signals with a series of their own in the metadata: name of the series, signal, statistic.
_PLOTTED = (
    ("score_kl", "scores", "kl"),
    ("auc_drop", "auc", "drop"),
    ("calibration_log_ratio", "calibration", "log_ratio"),
    ("unknown_users", "unknown_users", "share"),
    ("unknown_items", "unknown_items", "share"),
    ("new_items", "new_items", "share"),
    ("psi_price_ratio", "price_ratio", "psi"),
    ("psi_popularity", "popularity", "psi"),
    ("psi_category_l1", "category_l1", "psi"),
    ("psi_device", "device", "psi"),
)


@dataclass(frozen=True)
class DriftVerdict:
    """What the frames of one day showed.

    Attributes:
        state: `ok`, `drifted` or `too_few_samples`.
        alerts: in the order to look at them.
        measurements: every signal; none if there were too few samples.
        samples: sessions of the day.
    """

    state: str
    alerts: list[Alarm]
    measurements: list[Measurement]
    samples: int


@dataclass(frozen=True)
class DriftReport:
    """One day against the reference of the live release.

    Attributes:
        day: YYYY-MM-DD.
        live_release: the release that brought the live weights, whose training span is the
            reference.
        reference_span: first and last day of it.
        labels_about: days whose sessions the labels are about.
        judged: what was found.
        revenue: of the day.
        degraded_share: of the answers, given without the online store and left out.
        looked_at: share of the sessions that were measured, 1 on all but a huge day.
        reference, current: the frames, for pictures of the distributions.
        time_zone: in which the release tells the hour of a request.
    """

    day: str
    live_release: int
    reference_span: tuple[str, str]
    labels_about: list[str]
    judged: DriftVerdict
    revenue: float
    degraded_share: float
    looked_at: float
    reference: Traffic
    current: Traffic
    time_zone: str

    def metadata(self) -> dict[str, Any]:
        """Plain values for the asset's metadata; sensors read nothing else."""
        judged = self.judged
        values = {(m.name, m.statistic): m.value for m in judged.measurements}
        series = {
            title: values[name, statistic]
            for title, name, statistic in _PLOTTED
            if (name, statistic) in values
        }
        return {
            "day": self.day,
            "live_release": self.live_release,
            "state": judged.state,
            "drifted": int(judged.state == DRIFTED),
            "cause": judged.alerts[0].cause if judged.alerts else "",
            "alerts": [alert.as_dict() for alert in judged.alerts],
            "samples": judged.samples,
            "max_psi": _largest(judged, lambda m: m.statistic == "psi"),
            "max_null_rise": _largest(judged, lambda m: m.group == NULLS),
            "reference": " to ".join(self.reference_span),
            "labels_about": ", ".join(self.labels_about),
            "revenue": round(self.revenue, 2),
            "degraded_share": self.degraded_share,
            "share_looked_at": self.looked_at,
            **series,
        }


def measure(
    store: Store,
    releases: Releases,
    day: str,
    thresholds: DriftThresholds,
    attribution_hours: int,
    release: int | None = None,
) -> DriftReport:
    """Measures a day of traffic against the training span of the live release, or of another.

    Labels are late: concept drift is judged on the sessions whose attribution window closed
    during `day`, against sessions of the same release that closed before.

    Args:
        store: holds `request_log`, `outcomes`, `interactions` and `item_features` of the day,
            and the last two and `user_features` of the reference's days.
        releases: of which one is promoted.
        day: YYYY-MM-DD.
        thresholds: limits, sample sizes, length of the reference.
        attribution_hours: of the outcomes.
        release: as which the day is measured if it was live then.

    Raises:
        MissingRelease: nothing is promoted, or the release is gone.
        MissingArtifact: what the release was made of is gone.
        MissingPartition: a table lacks a day, or the reference has none.
    """
    live = live_release(releases) if release is None else as_live(releases, release)
    days = reference_days(store, live, day, thresholds.reference_days)
    reference = reference_traffic(store, live, days, day)
    current = day_traffic(store, live, day)
    profile = Profile.fit(reference, live.known)
    return DriftReport(
        day=day,
        live_release=live.release,
        reference_span=(days[0], days[-1]),
        labels_about=days_judged(day, attribution_hours),
        judged=judge(profile, current.traffic, thresholds),
        revenue=current.traffic.revenue,
        degraded_share=current.degraded,
        looked_at=current.looked_at,
        reference=reference,
        current=current.traffic,
        time_zone=live.known.time_zone,
    )


def judge(profile: Profile, current: Traffic, thresholds: DriftThresholds) -> DriftVerdict:
    """State and alerts of one day's frames; the same frames give the same answer.

    Args:
        profile: the reference.
        current: one day.
        thresholds: limits and sample sizes.
    """
    samples = len(current.requests)
    if samples < thresholds.min_sessions:
        return DriftVerdict(TOO_FEW, [], [], samples)
    measurements = measure_frames(profile, current, thresholds)
    alerts = alerts_of(measurements, current.revenue)
    return DriftVerdict(DRIFTED if alerts else OK, alerts, measurements, samples)


def _largest(judged: DriftVerdict, wanted: Callable[[Measurement], bool]) -> float:
    return max((m.value for m in judged.measurements if wanted(m)), default=0.0)
