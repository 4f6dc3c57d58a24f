"""How a release finds candidates and arranges them: chosen when it is rendered, and kept in it."""

import json
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from recsys_assets.models.index.index_kinds import CANDIDATES, ENOUGH, RANKED
from recsys_assets.pipeline.diversity import Diversity, Sampling
from recsys_assets.pipeline.exploration import Exploration
from recsys_assets.pipeline.pipeline import Effort, read_depths
from recsys_assets.pipeline.rank import POPULARITY_DISCOUNT, RANKER_WEIGHT, STAGE
from recsys_assets.pipeline.retrieve import Depth
from recsys_assets.releases.quantization import Precision
from recsys_assets.releases.release import Releases
from recsys_assets.triton.repository import PIPELINE


@dataclass(frozen=True)
class ServingConfig:
    """How candidates are found and arranged; part of the release.

    `depth` is what a request gets, `less` what it gets above capacity; `ranker_weight` says how
    much the ranker adds to the log-odds of candidates that were ranked ahead, and
    `popularity_discount` how much bestsellers must be better among those.
    """

    depth: Depth = field(default_factory=lambda: Depth(CANDIDATES, ENOUGH, RANKED))
    less: Depth = field(default_factory=lambda: Depth(100, 20, 40, "low"))
    diversity: Diversity = field(default_factory=lambda: Diversity(trade_off=0.7, pool=50))
    sampling: Sampling = field(default_factory=lambda: Sampling(temperature=0.0, seed=0))
    precision: Precision = field(default_factory=Precision)
    ranker_weight: float = RANKER_WEIGHT
    popularity_discount: float = POPULARITY_DISCOUNT
    exploration: Exploration = field(default_factory=Exploration)

    def __post_init__(self) -> None:
        for name in ("ranker_weight", "popularity_discount"):
            if not 0 <= (value := getattr(self, name)) < np.inf:
                raise ValueError(f"{name} is {value}: give 0 (off) or more")

    def as_json(self) -> dict[str, Any]:
        """What the pipeline reads back."""
        depths = {Effort.FULL: self.depth, Effort.FEWER_CANDIDATES: self.less}
        return {
            "depths": {effort.name.lower(): asdict(depth) for effort, depth in depths.items()},
            "diversity": asdict(self.diversity),
            "sampling": asdict(self.sampling),
            "ranker_weight": self.ranker_weight,
            "popularity_discount": self.popularity_discount,
            "exploration": asdict(self.exploration),
        }

    @classmethod
    def of(cls, releases: Releases, release: int) -> "ServingConfig":
        """What a release was rendered with.

        Raises:
            MissingRelease: there is no such release.
        """
        folder = releases.fetch(release) / "models" / PIPELINE / str(release)
        stage, depths = json.loads((folder / STAGE).read_text()), read_depths(folder)
        return cls(
            depth=depths[Effort.FULL],
            less=depths[Effort.FEWER_CANDIDATES],
            diversity=Diversity(**stage["diversity"]),
            sampling=Sampling(**stage["sampling"]),
            precision=Precision(**releases.manifest(release)["precision"]),
            ranker_weight=stage.get("ranker_weight", RANKER_WEIGHT),
            popularity_discount=stage.get("popularity_discount", 0.0),
            exploration=Exploration(**stage.get("exploration", {})),
        )
