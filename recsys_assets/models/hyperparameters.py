"""Hyperparameters of both models and of fine-tunes; Dagster run configuration is made from them.

Of a fine-tune: what a model is built of, and how much of an example is hidden, comes from the base
release.
"""

from dataclasses import dataclass, field
from typing import TypeVar

Number = TypeVar("Number", int, float)


def parameter(default: Number, description: str) -> Number:
    """A field of a dataclass of hyperparameters."""
    made: Number = field(default=default, metadata={"description": description})
    return made


@dataclass(frozen=True)
class TwoTowerParameters:
    """How the two-tower model is built and trained. Chosen on the validation week."""

    embedding_dim: int = parameter(64, "Width of query and item embeddings")
    id_dim: int = parameter(32, "Width of the tables of user and item ids")
    attribute_dim: int = parameter(16, "Width of the tables of all other categorical columns")
    hidden_dim: int = parameter(128, "Width of each tower's hidden layer")
    dropout: float = parameter(0.1, "Share of each tower's hidden units dropped in training")
    l2: float = parameter(1e-4, "L2 penalty on the embedding rows of a batch")
    epochs: int = parameter(3, "Passes without the validation week, each validated")
    final_epochs: int = parameter(1, "Passes over the whole span after the last validation")
    batch_size: int = parameter(2048, "Examples a step; the other items are the negatives")
    examples_per_epoch: int = parameter(200_000, "Examples drawn for a pass, by weight")
    learning_rate: float = parameter(1e-3, "Of Adam at first; falls to 0 along a cosine")
    temperature: float = parameter(0.1, "Divides the cosine of query and item")
    half_life_days: float = parameter(90.0, "Age at which an example counts half")
    household_power: float = parameter(0.5, "0 counts purchases, 1 counts household-weeks")
    max_snapshot_age_days: int = parameter(6, "Oldest item features that an example sees")
    mask_id: float = parameter(0.3, "Share of user and item ids hidden, so that 0 is taught")
    mask_attribute: float = parameter(0.05, "Share of each attribute hidden")
    mask_user: float = parameter(0.05, "Share of requests made anonymous altogether")
    seed: int = parameter(1, "Of weights, sampling and masks")


@dataclass(frozen=True)
class DlrmParameters:
    """How the ranker is built and trained. Chosen on the validation week."""

    embedding_dim: int = parameter(16, "Width of every embedding table")
    bottom_dim: int = parameter(128, "Width of the hidden layer over the numbers")
    top_dim: int = parameter(128, "Width of the first layer over the interactions")
    dropout: float = parameter(0.1, "Share of the top layers' units dropped in training")
    l2: float = parameter(1e-5, "L2 penalty on the embedding rows of a batch")
    epochs: int = parameter(4, "Passes without the validation week, each validated")
    final_epochs: int = parameter(1, "Passes over the whole span after the last validation")
    positives_per_epoch: int = parameter(120_000, "Purchases drawn for a pass, by weight")
    negatives: int = parameter(8, "Sampled negatives of each purchase")
    uniform_share: float = parameter(0.1, "Share of negatives drawn from the whole catalogue")
    exponent: float = parameter(0.75, "Of popularity, by which the other negatives are drawn")
    batch_positives: int = parameter(1024, "Purchases a step, each with its negatives")
    learning_rate: float = parameter(1.5e-3, "Of Adam at first; falls to 0 along a cosine")
    half_life_days: float = parameter(60.0, "Age at which an example counts half")
    household_power: float = parameter(0.75, "0 counts purchases, 1 counts household-weeks")
    max_snapshot_age_days: int = parameter(6, "Oldest item features that an example sees")
    mask_id: float = parameter(0.5, "Share of user and item ids hidden, so that 0 is taught")
    mask_attribute: float = parameter(0.05, "Share of each attribute hidden")
    mask_user: float = parameter(0.05, "Share of requests made anonymous altogether")
    retrieval_weight: float = parameter(1.0, "Of the two-tower model's log-probability in a score")
    seed: int = parameter(1, "Of weights, sampling and masks")


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
