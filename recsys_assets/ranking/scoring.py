"""How the parts of a ranker make a score. Runs in both environments."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from recsys_assets.ranking.negatives import NegativeDistribution

RETRIEVAL = "retrieval"  # the folder of the two-tower model within the artifact
CANDIDATE_TOWER = "candidate_tower.onnx"
# What of the artifact `two_tower` goes there, and under which name.
RETRIEVAL_FILES = {
    "query_tower.onnx": "query_tower.onnx",
    "item_tower.onnx": CANDIDATE_TOWER,
    "encoding.json": "encoding.json",
    "tastes.npz": "tastes.npz",
}
_FILE = "scoring.json"


@dataclass(frozen=True)
class Scoring:
    """What is added to the DLRM's log-odds.

    Attributes:
        negatives: the distribution that its training drew negatives from.
        similarity_weight: factor of the inner product of query and item embedding: the weight
            of the two-tower model, divided by its temperature.
    """

    negatives: NegativeDistribution
    similarity_weight: float

    def correction(self, popularity: np.ndarray) -> np.ndarray:
        """Log q of all items, float32 [m], from their purchases in 28 days."""
        return self.negatives.log_probability(popularity).astype(np.float32)

    def save(self, folder: Path) -> None:
        """Writes `scoring.json`."""
        (folder / _FILE).write_text(json.dumps(asdict(self)), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> "Scoring":
        """Reads what `save` wrote.

        Raises:
            FileNotFoundError: the folder has no `scoring.json`.
        """
        stored = json.loads((folder / _FILE).read_text(encoding="utf-8"))
        return cls(NegativeDistribution(**stored["negatives"]), stored["similarity_weight"])
