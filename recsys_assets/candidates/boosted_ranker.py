"""Gradient-boosted trees that order candidates (LightGBM), trained on past weeks' candidates.

Ke et al., LightGBM: a highly efficient gradient boosting decision tree, NeurIPS 2017. The loss is
the logistic one: on the weeks before those that are reported it ordered as well as LambdaRank,
and its scores are log-odds, which `prior_correction` turns into probabilities.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from recsys_assets.candidates.prior_correction import PriorCorrection
from recsys_assets.models.hyperparameters import parameter

if TYPE_CHECKING:
    import lightgbm

_FILE = "boosted_ranker.txt"
_CORRECTION = "prior_correction.json"


@dataclass(frozen=True)
class RankerExamples:
    """UnitedCandidates of one past week, m of n requests, with what came of them.

    Attributes:
        names: of the inputs.
        inputs: float32 [m, f].
        owner: int64 [m], the request of each, rising.
        bought: bool [m].
        relevant: int64 [n], how many items each request's customer bought for the first time,
            among the candidates or not.
    """

    names: tuple[str, ...]
    inputs: np.ndarray
    owner: np.ndarray
    bought: np.ndarray
    relevant: np.ndarray


@dataclass(frozen=True)
class Boosting:
    """Settings of the training.

    Chosen by hand of five on the four weeks before 2017-10-01 of Complete Journey: powers of the
    household 0, 0.5 and 1; twice the trees of 31 leaves at half the rate; half the weeks.
    A share of the negatives is drawn at random: thinned by a source's rank, they would bias the
    ranker against that source. Customers are weighed because the metrics are means over them, and
    few of them buy much.
    """

    trees: int = parameter(150, "How many")
    learning_rate: float = parameter(0.06, "Of each tree")
    leaves: int = parameter(15, "Of each tree")
    min_leaf_examples: int = parameter(500, "Fewest examples in a leaf")
    negatives: float = parameter(0.25, "Share of candidates not bought that are learned from")
    household_power: float = parameter(
        0.5, "A customer's examples weigh 1 / (what she bought) to the power of this"
    )
    threads: int = parameter(2, "Of LightGBM")
    seed: int = parameter(1, "Of all draws")

    def __post_init__(self) -> None:
        if not 0 < self.negatives <= 1:
            raise ValueError(f"share of negatives is {self.negatives}: give more than 0, at most 1")


class BoostedRanker:
    """Trained trees, the names of their inputs, and what makes probabilities of their scores."""

    def __init__(self, model: str, correction: PriorCorrection) -> None:
        """From LightGBM's own text form."""
        import lightgbm

        self._text = model
        self.correction = correction
        self._booster = lightgbm.Booster(model_str=model)

    @property
    def names(self) -> tuple[str, ...]:
        """Of the inputs, in order."""
        return tuple(self._booster.feature_name())

    @classmethod
    def fit(cls, weeks: Sequence[RankerExamples], boosting: Boosting) -> "BoostedRanker":
        """Learns what was bought among the candidates of past weeks.

        Probabilities are fitted on all candidates of the latest of them: training sees a share of
        the negatives, and weighs customers, so that its log-odds are those of no real week.

        Args:
            weeks: the oldest first.
            boosting: settings.

        Raises:
            ValueError: nobody bought any candidate, so that there is nothing to learn.
        """
        import lightgbm

        random = np.random.default_rng(boosting.seed)
        kept = [
            week.bought | (random.random(len(week.bought)) < boosting.negatives) for week in weeks
        ]
        bought = np.concatenate([week.bought[rows] for week, rows in zip(weeks, kept, strict=True)])
        if not bought.any():
            raise ValueError(
                f"no candidate of the {len(weeks)} weeks was bought: nothing to learn; give more "
                "weeks, or look at the candidates' recall"
            )
        weights = [
            np.maximum(week.relevant, 1)[week.owner[rows]] ** -boosting.household_power
            for week, rows in zip(weeks, kept, strict=True)
        ]
        data = lightgbm.Dataset(
            np.concatenate([week.inputs[rows] for week, rows in zip(weeks, kept, strict=True)]),
            bought,
            weight=np.concatenate(weights),
            feature_name=list(weeks[0].names),
        )
        booster = lightgbm.train(_parameters(boosting), data, boosting.trees)
        latest = [week for week in weeks if len(week.bought)][-1]
        correction = PriorCorrection.fit(_scores(booster, latest.inputs), latest.bought)
        return cls(booster.model_to_string(), correction)

    def score(self, inputs: np.ndarray) -> np.ndarray:
        """Log-odds up to a constant, float32 [m], of inputs float32 [m, f]."""
        return _scores(self._booster, inputs)

    def probabilities(self, scores: np.ndarray) -> np.ndarray:
        """That candidates of these scores [m] are bought within the week, float32 [m]."""
        return self.correction.probabilities(scores)

    def score_named(self, inputs: Mapping[str, np.ndarray]) -> np.ndarray:
        """The same of inputs by name, [m] each.

        Raises:
            ValueError: an input that the ranker has learned from is not there.
        """
        missing = [name for name in self.names if name not in inputs]
        if missing:
            raise ValueError(
                f"the boosted ranker was trained with inputs that the shop no longer has: "
                f"{', '.join(missing)}; train boosted_ranker again"
            )
        columns = [inputs[name] for name in self.names]
        return self.score(np.stack(columns, axis=1, dtype=np.float32))

    def importance(self) -> dict[str, float]:
        """How much each input lowered the loss, as a share of all, the largest first."""
        gains = self._booster.feature_importance("gain")
        shares = gains / max(gains.sum(), 1e-12)
        order = np.argsort(-shares, kind="stable")
        return {self.names[place]: float(shares[place]) for place in order}

    def save(self, folder: Path) -> None:
        """Writes LightGBM's text form, and the correction beside it."""
        (folder / _FILE).write_text(self._text, encoding="utf-8")
        (folder / _CORRECTION).write_text(json.dumps(asdict(self.correction)), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path | None) -> "BoostedRanker | None":
        """Reads what `save` wrote.

        None where a history was too short to learn from, or a release was made without a ranker.
        """
        if folder is None or not (folder / _FILE).exists():
            return None
        correction = json.loads((folder / _CORRECTION).read_text(encoding="utf-8"))
        return cls((folder / _FILE).read_text(encoding="utf-8"), PriorCorrection(**correction))


def _scores(booster: "lightgbm.Booster", inputs: np.ndarray) -> np.ndarray:
    return np.asarray(booster.predict(inputs, raw_score=True), dtype=np.float32)


def _parameters(boosting: Boosting) -> dict[str, object]:
    return {
        "objective": "binary",
        "learning_rate": boosting.learning_rate,
        "num_leaves": boosting.leaves,
        "min_data_in_leaf": boosting.min_leaf_examples,
        "feature_fraction": 0.6,
        "bagging_fraction": 0.7,
        "bagging_freq": 1,
        "lambda_l2": 20.0,
        "max_bin": 63,
        "num_threads": boosting.threads,
        "seed": boosting.seed,
        "deterministic": True,
        "force_col_wise": True,
        "verbosity": -1,
    }
