"""A rolling evaluation that goes on where it was stopped: what is done lies in a folder."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from recsys_assets.candidates.declarations import BOUGHT_BEFORE, SOURCES
from recsys_assets.evaluation.rolling import PIPELINE, Predictions, RollingWeeks, Shop
from recsys_assets.evaluation.rolling_report import (
    ALL,
    BEST_BY,
    MeasuredWeek,
    measure,
    summarise,
)
from recsys_assets.evaluation.slate_table import from_arrow, to_arrow
from recsys_assets.evaluation.tuning import PEERS, Tuned, scorer_quality
from recsys_assets.pipeline.rank import POPULARITY_DISCOUNT
from recsys_assets.storage.filesystem import write_atomically

Say = Callable[[str], object]


@dataclass
class RollingRun:
    """Tunes on the validation weeks, then measures the others.

    Args:
        shop: what happened.
        folder: holds what is done.
        say: takes lines of progress.
        repeats: whether what a customer has bought before is asked for too.
    """

    shop: Shop
    folder: Path
    say: Say
    repeats: bool = False

    def tuned(self, validation: Sequence[date]) -> dict[str, int]:
        """The number of the setting that is best on the validation weeks, by peer."""
        file = self.folder / "tuning.json"
        found: dict[str, list[list[float]]] = json.loads(file.read_text()) if file.exists() else {}
        for name, peer in PEERS.items():
            if name in found or len(peer.settings) == 1:
                continue
            found[name] = self._trials(peer, validation)
            write_atomically(file.as_uri(), json.dumps(found, indent=1).encode())
            means = np.mean(found[name], axis=0)
            self.say(f"{name}: {peer.settings[int(means.argmax())]} of {len(means)} settings")
        best = {name: int(np.mean(trials, axis=0).argmax()) for name, trials in found.items()}
        return dict.fromkeys(PEERS, 0) | best

    def _weeks(self) -> RollingWeeks:
        declared = (*SOURCES, BOUGHT_BEFORE) if self.repeats else SOURCES
        return RollingWeeks(self.shop, declared, self.repeats, log=self.say)

    def _trials(self, peer: Tuned, weeks: Sequence[date]) -> list[list[float]]:
        """NDCG@10 by week and setting."""
        rolling = self._weeks()
        trials = []
        for first_day in weeks:
            split = rolling.split(first_day)
            trials.append(
                [
                    scorer_quality(peer.with_setting(number)(split), split)
                    for number in range(len(peer.settings))
                ]
            )
        return trials

    def measured(self, weeks: Sequence[date], chosen: Mapping[str, int]) -> dict[str, Any]:
        """Figures of all methods over the weeks, as JSON."""
        rolling = self._weeks()
        peers = {name: peer.with_setting(chosen[name]) for name, peer in PEERS.items()}
        done: list[MeasuredWeek] = []
        for first_day in weeks:
            file = self.folder / f"{first_day}.parquet"
            foretold = self.folder / f"{first_day}.predictions.parquet"
            split = rolling.split(first_day)
            if not file.exists():
                _write(_as_table(rolling.predictions(first_day)), foretold)
                # Written last: it says that the week is done.
                _write(to_arrow(rolling.slates(first_day, peers), split), file)
            slates = from_arrow(pq.read_table(file), split)
            predictions = _from_table(pq.read_table(foretold))
            done.append(measure(self.shop, first_day, split, slates, predictions))
            values = done[-1].segments[ALL].values.items()
            means = ", ".join(f"{name} {of[BEST_BY].mean():.4f}" for name, of in values)
            self.say(f"{first_day}: {means}")
        settings = {name: dict(peer.settings[chosen[name]]) for name, peer in PEERS.items()}
        settings[PIPELINE] = asdict(rolling.boosting)
        if not self.repeats:
            settings[PIPELINE]["popularity_discount"] = POPULARITY_DISCOUNT
        return {**summarise(done, PIPELINE), "settings": settings}


def _write(table: pa.Table, file: Path) -> None:
    draft = file.with_suffix(".draft")
    pq.write_table(table, draft)
    draft.replace(file)


def _as_table(predictions: Predictions) -> pa.Table:
    return pa.table({one.name: getattr(predictions, one.name) for one in fields(Predictions)})


def _from_table(table: pa.Table) -> Predictions:
    return Predictions(**{name: table[name].to_numpy() for name in table.column_names})
