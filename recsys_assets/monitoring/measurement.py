"""One day against the reference: every signal with the bound that chance cannot explain.

Lines of a basket are alike, and so are sessions of a household. So households are drawn, with all
their rows. Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapters 6 and 10.

On labelled sessions also: whether the scores still mean what they meant (concept drift).

Two samples of one distribution differ by chance, so a distance is never 0. Its excess is the
bootstrap's estimate of bias, b = mean of the replicates - observed. The observed distance holds
that excess once and each replicate holds it twice; taken off, they give the corrected value,
observed - b, and its lower bound, a low quantile of replicates - 2 b. Households are drawn, and
days of the reference likewise.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date

import numpy as np
import polars as pl

from recsys_assets.events.contract import distinct
from recsys_assets.monitoring.alerts import Measurement
from recsys_assets.monitoring.profile import (
    CONCEPT,
    FEATURES,
    NULLS,
    UNKNOWN,
    Histogram,
    Profile,
    count_by,
    flags_of,
    flat_scores,
    purchase_columns,
)
from recsys_assets.monitoring.psi import kl, psi, total_variation
from recsys_assets.monitoring.thresholds import DriftThresholds
from recsys_assets.monitoring.traffic import Traffic, request_columns

Distance = Callable[[np.ndarray, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Households:
    """The independent parts of a frame, and bootstrap draws of them.

    `row` int64 [rows] is each row's household, `weights` float64 [resamples, households] how
    often each is drawn. An anonymous row is a household of its own.
    """

    row: np.ndarray
    weights: np.ndarray

    @classmethod
    def draw(cls, users: pl.Series, resamples: int, rng: np.random.Generator) -> "Households":
        """Draws as many households as there are, with replacement."""
        own = pl.int_range(len(users), eager=True).cast(pl.String)
        name = pl.select(pl.when(users == "").then("anonymous " + own).otherwise("user " + users))
        _, row = distinct(name.to_series().to_numpy())
        return cls(row, draw_counts(int(row.max(initial=-1)) + 1, resamples, rng))

    def __len__(self) -> int:
        return self.weights.shape[1]

    def counts(self, bins: np.ndarray, width: int) -> tuple[np.ndarray, np.ndarray]:
        """Rows by bin: of all, [width], and of each draw, [resamples, width]."""
        table = count_by(bins, self.row, width, len(self)).astype(np.float64)
        return table.sum(axis=0), self.weights @ table

    def sums(self, numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Sums of columns, float64 [rows, c]: of all, [c], and of each draw, [resamples, c]."""
        table = np.zeros((len(self), numbers.shape[1]))
        np.add.at(table, self.row, numbers)
        return table.sum(axis=0), self.weights @ table


def draw_counts(count: int, resamples: int, rng: np.random.Generator) -> np.ndarray:
    """How often each of `count` is drawn in `count` draws with replacement, [resamples, count]."""
    if not count:
        return np.zeros((resamples, 0))
    return rng.multinomial(count, np.full(count, 1 / count), size=resamples).astype(np.float64)


def concept_drift(
    earlier: pl.DataFrame,
    labels: pl.DataFrame,
    thresholds: DriftThresholds,
    rng: np.random.Generator,
) -> list[Measurement]:
    """AUC and calibration of a day against the earlier days of the release.

    Args:
        earlier: labelled sessions of the release's earlier days.
        labels: those to judge.
        thresholds: limits, and the samples needed.
        rng: of the resampling.

    Returns:
        `auc`: fall of the mean AUC against the earlier days. `auc_floor`: how far it is below the
        floor, whatever it was. `calibration`: |ln| of the change of observed purchases per
        predicted one. Nothing where there are too few samples, or too few earlier days.
    """
    rated = labels.drop_nulls("auc")
    if len(rated) < thresholds.min_labelled:
        return []
    households = Households.draw(rated["user_id"], thresholds.resamples, rng)
    mean, means = _mean(rated["auc"].to_numpy(), households)
    floor = thresholds.auc_floor
    found = [_shortfall("auc_floor", floor - mean, floor - means, 0.0, thresholds, households)]
    before = earlier.drop_nulls("auc")
    if before["day"].n_unique() < thresholds.min_labelled_days:
        return found
    earlier_households = Households.draw(before["user_id"], thresholds.resamples, rng)
    usual, usuals = _mean(before["auc"].to_numpy(), earlier_households)
    drop = _shortfall(
        "auc", usual - mean, usuals - means, thresholds.auc_drop, thresholds, households
    )
    return [*found, drop, *_calibration(earlier, labels, thresholds, rng)]


def _calibration(
    earlier: pl.DataFrame,
    labels: pl.DataFrame,
    thresholds: DriftThresholds,
    rng: np.random.Generator,
) -> list[Measurement]:
    ratios = []
    for frame in (earlier, labels):
        households = Households.draw(frame["user_id"], thresholds.resamples, rng)
        total, totals = households.sums(frame.select("observed", "predicted").to_numpy())
        if total.min() <= 0 or totals.min() <= 0:
            return []  # nothing was bought, or nothing predicted: there is no ratio
        ratios.append((np.log(total[0] / total[1]), np.log(totals[:, 0] / totals[:, 1])))
    (usual, usuals), (now, nows) = ratios
    change = float(now - usual)
    low = float(np.quantile(np.sign(change) * (nows - usuals), 1 - thresholds.confidence))
    limit = float(np.log(thresholds.calibration_ratio))
    share = 1 - float(np.exp(-abs(change)))
    return [
        Measurement(
            "calibration", CONCEPT, "log_ratio", abs(change), low, limit, len(households), share
        )
    ]


def _shortfall(
    name: str,
    value: float,
    draws: np.ndarray,
    limit: float,
    thresholds: DriftThresholds,
    households: Households,
) -> Measurement:
    low = float(np.quantile(draws, 1 - thresholds.confidence))
    affected = min(max(2 * value, 0.0), 1.0)  # an AUC has 1/2 to lose until it is chance
    return Measurement(name, CONCEPT, "drop", value, low, limit, len(households), affected)


def _mean(numbers: np.ndarray, households: Households) -> tuple[float, np.ndarray]:
    total, totals = households.sums(np.column_stack([numbers, np.ones(len(numbers))]))
    return float(total[0] / total[1]), totals[:, 0] / totals[:, 1]


@dataclass(frozen=True)
class Judge:
    """Compares counts with those of the reference's days that `days` selects.

    `day_draws` are draws of these, and `all_draws` of all its days.
    """

    profile: Profile
    thresholds: DriftThresholds
    days: np.ndarray
    day_draws: np.ndarray
    all_draws: np.ndarray

    @classmethod
    def of(
        cls, profile: Profile, thresholds: DriftThresholds, day: date, rng: np.random.Generator
    ) -> "Judge":
        """For a day, which is compared with those like it."""
        days, resamples = profile.like(day, thresholds), thresholds.resamples
        (apart,) = rng.spawn(1)
        return cls(
            profile,
            thresholds,
            days,
            draw_counts(len(days), resamples, rng),
            draw_counts(len(profile.weekdays), resamples, apart),
        )

    def histogram(
        self, reference: Histogram, bins: np.ndarray, households: Households
    ) -> list[Measurement]:
        """PSI of a column and, of a served feature, the rise of its share of missing values."""
        actual, drawn = households.counts(bins, len(reference.bins.labels))
        expected, expected_drawn = self.reference(reference.counts)
        found = [
            self._distance(
                reference, "psi", psi, (expected, expected_drawn), (actual, drawn), len(households)
            )
        ]
        if reference.group == FEATURES:
            present = [c[..., :-1].sum(axis=-1) for c in (expected, expected_drawn, actual, drawn)]
            missing = [c[..., -1] for c in (expected, expected_drawn, actual, drawn)]
            flags = [np.stack(pair, axis=-1) for pair in zip(present, missing, strict=True)]
            limit = self.thresholds.null_share
            found.append(self.rise(reference.name, NULLS, limit, flags, len(households)))
        return found

    def flag(self, name: str, flagged: np.ndarray, households: Households) -> Measurement:
        """Rise of the share of flagged rows."""
        actual = households.counts(flagged.astype(np.int64), 2)
        expected = self.reference(self.profile.flags[name])
        limit = self.thresholds.unknown_share
        return self.rise(name, UNKNOWN, limit, [*expected, *actual], len(households))

    def scores(
        self, reference: Histogram, scores: pl.DataFrame, rng: np.random.Generator
    ) -> Measurement:
        """KL divergence of the prediction scores from those of the release's earlier days."""
        households = Households.draw(scores["user_id"], self.thresholds.resamples, rng)
        flat, rows = flat_scores(scores)
        each = Households(households.row[rows], households.weights)
        actual = each.counts(reference.bins.assign(flat), len(reference.bins.labels))
        draws = draw_counts(len(reference.counts), self.thresholds.resamples, rng)
        expected = reference.counts.sum(axis=0), draws @ reference.counts
        return self._distance(
            reference, "kl", lambda p, q: kl(q, p), expected, actual, len(households)
        )

    def reference(self, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Counts of the chosen days: of all, [bins], and of each draw, [resamples, bins].

        Where they hold nothing, as a weekday on which the shop used to be closed, those of all
        days are taken: against nothing a day would never differ.
        """
        chosen, draws = counts[self.days].astype(np.float64), self.day_draws
        if not chosen.any():
            chosen, draws = counts.astype(np.float64), self.all_draws
        return chosen.sum(axis=0), draws @ chosen

    def rise(
        self, name: str, group: str, limit: float, counts: list[np.ndarray], samples: int
    ) -> Measurement:
        """Rise of a share from `[unflagged, flagged]` counts: expected and actual, each twice."""
        expected, expected_drawn, actual, drawn = (_share(c) for c in counts)
        value, draws = actual - expected, drawn - expected_drawn
        low = float(np.quantile(draws, 1 - self.thresholds.confidence))
        rise = float(value)
        return Measurement(name, group, "share", rise, low, limit, samples, max(rise, 0.0))

    def _distance(
        self,
        reference: Histogram,
        statistic: str,
        distance: Distance,
        expected: tuple[np.ndarray, np.ndarray],
        actual: tuple[np.ndarray, np.ndarray],
        samples: int,
    ) -> Measurement:
        # Half a count weighs more in the smaller sample: that makes a distance of equal shares.
        unequal = distance(expected[0], expected[0] * actual[0].sum() / expected[0].sum())
        observed = float(distance(expected[0], actual[0]) - unequal)
        draws = distance(expected[1], actual[1]) - unequal
        excess = max(float(draws.mean()) - observed, 0.0)
        low = float(np.quantile(draws, 1 - self.thresholds.confidence)) - 2 * excess
        return Measurement(
            reference.name,
            reference.group,
            statistic,
            observed - excess,
            low,
            self.thresholds.of(reference.group),
            samples,
            float(total_variation(expected[0], actual[0])),
        )


def measure_frames(
    profile: Profile, current: Traffic, thresholds: DriftThresholds
) -> list[Measurement]:
    """Every signal of one day; the same day gives the same figures.

    Args:
        profile: the reference.
        current: traffic of one day, with requests; its labels may be of another.
        thresholds: of each group of signals, and the numbers of samples that they need.
    """
    day = current.requests["day"][0]
    rng = np.random.default_rng(day.toordinal())
    judge = Judge.of(profile, thresholds, day, rng)
    asking = Households.draw(current.requests["user_id"], thresholds.resamples, rng)
    buying = Households.draw(current.purchases["user_id"], thresholds.resamples, rng)
    found: list[Measurement] = []
    for name, column in request_columns(current.requests, profile.known.time_zone).items():
        reference = profile.requests[name]
        found += judge.histogram(reference, reference.bins.assign(column), asking)
    comparable = len(buying) and len(profile.usual.total)
    if comparable:
        for name, column in purchase_columns(current.purchases, profile.usual).items():
            reference = profile.purchases[name]
            found += judge.histogram(reference, reference.bins.assign(column), buying)
    for name, flagged in flags_of(current, profile.known).items():
        if name == "unknown_users":
            found.append(judge.flag(name, flagged, asking))
        elif comparable:
            found.append(judge.flag(name, flagged, buying))
    found += _of_scores(judge, current, rng)
    return [*found, *concept_drift(profile.labels, current.labels, thresholds, rng)]


def _of_scores(judge: Judge, current: Traffic, rng: np.random.Generator) -> list[Measurement]:
    reference, limits = judge.profile.scores, judge.thresholds
    if reference is None or len(reference.counts) < limits.min_labelled_days:
        return []
    if len(current.scores) < limits.min_labelled:
        return []
    return [judge.scores(reference, current.scores, rng)]


def _share(counts: np.ndarray) -> np.ndarray:
    return counts[..., 1] / np.maximum(counts.sum(axis=-1), 1)
