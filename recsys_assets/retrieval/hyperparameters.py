"""Hyperparameters of the two-tower model; Dagster run configuration is made from them."""

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
