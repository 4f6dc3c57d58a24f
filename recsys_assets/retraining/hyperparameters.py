"""Hyperparameters of fine-tunes; Dagster run configuration is made from them.

What a model is built of, and how much of an example is hidden, comes from the base release.
"""

from dataclasses import dataclass

from recsys_assets.retrieval.hyperparameters import parameter


@dataclass(frozen=True)
class QueryTowerTuning:
    """How the query tower is fine-tuned."""

    recent_days: int = parameter(28, "Fewest newest days that count as recent")
    recent_examples: int = parameter(40_000, "Most recent examples drawn for a pass, by weight")
    replay_examples: int = parameter(80_000, "Older examples drawn for a pass, by weight")
    passes: int = parameter(1, "Passes, each over examples drawn anew")
    learning_rate: float = parameter(5e-5, "Of Adam at first; falls to 0 along a cosine")
    seed: int = parameter(1, "Of sampling, masks and dropout")


@dataclass(frozen=True)
class DlrmTuning:
    """How all layers of the ranker are fine-tuned."""

    recent_days: int = parameter(14, "Fewest newest days that count as recent")
    recent_examples: int = parameter(40_000, "Most recent purchases drawn for a pass, by weight")
    replay_examples: int = parameter(40_000, "Older purchases drawn for a pass, by weight")
    passes: int = parameter(1, "Passes, each over purchases drawn anew")
    learning_rate: float = parameter(6e-4, "Of Adam at first; falls to 0 along a cosine")
    seed: int = parameter(1, "Of sampling, negatives, masks and dropout")
