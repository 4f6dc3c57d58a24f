"""Hyperparameters of the DLRM; Dagster run configuration is made from them."""

from dataclasses import dataclass

from recsys_assets.retrieval.hyperparameters import parameter


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
