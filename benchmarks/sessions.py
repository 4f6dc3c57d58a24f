"""The last click of a session, by what past sessions held: `python -m benchmarks.sessions FOLDER`.

FOLDER has the publisher's files of YOOCHOOSE (`events/sources/yoochoose.py`). Session-kNN learns
from some days and is asked for the last click of each session of the day after them, from the
clicks before it. Beside it stands what was clicked most. Writes `bench/sessions.json`.
"""

import argparse
import json
import time
from dataclasses import asdict
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import click
import numpy as np
import polars as pl

from benchmarks.machine import describe_machine
from recsys_assets.evaluation.session_knn import SessionKnn
from recsys_assets.events.sources import YooChoose
from recsys_assets.metrics import bootstrap
from recsys_assets.settings import load_settings
from recsys_assets.storage.filesystem import write_atomically

PLACES = 20
_BLOCK = 200  # sessions asked at a time


def main() -> None:
    """Prints the hit rates and writes them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="with yoochoose-clicks.dat and -buys.dat")
    parser.add_argument("--days", type=int, default=7, help="learned from (default: 7)")
    parser.add_argument(
        "--asked",
        type=date.fromisoformat,
        default=YooChoose.last_day,
        help=f"day whose sessions are asked (default: {YooChoose.last_day})",
    )
    asked = parser.parse_args()
    figures = {"machine": describe_machine(), **measure(asked.folder, asked.asked, asked.days)}
    target = load_settings().home / "bench" / "sessions.json"
    target.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(target.as_uri(), json.dumps(figures, indent=1).encode())
    for method in ("session_knn", "popularity"):
        rate = figures[method]
        click.echo(
            f"{method}: hit rate at {PLACES} {rate['mean']:.3f} "
            f"({rate['low']:.3f} to {rate['high']:.3f})"
        )
    click.echo(
        f"{figures['sessions']:,} sessions of {figures['asked']}, "
        f"{figures['learned_from']:,} learned from, {figures['ms_a_session']:.2f} ms a session"
    )
    click.echo(f"written: {target}")


def measure(folder: Path, asked: date, days: int) -> dict[str, Any]:
    """Hit rates on the sessions that begin on a day, learned from those of the days before.

    A last click on an item that was not clicked on those days is a miss.

    Raises:
        BrokenInput: a file is missing or not as published.
        click.ClickException: there is no session to learn from or to ask.
    """
    wanted = [asked - timedelta(days=ago) for ago in range(days + 1)]
    views = YooChoose(folder).interactions(wanted).filter(event="view").sort("timestamp")
    begins = pl.col("timestamp").min().over("session_id").dt.date()
    past, running = views.filter(begins < asked), views.filter(begins == asked)
    items = past["item_id"].unique().sort()
    catalogue = pl.DataFrame({"item_id": items}).with_row_index("row")
    past = past.join(catalogue, on="item_id")
    sessions = (
        running.join(catalogue, on="item_id", how="left")
        .group_by("session_id", maintain_order=True)
        .agg(pl.col("row").cast(pl.Int64).fill_null(-1))
        .filter(pl.col("row").list.len() > 1)["row"]
        .to_list()
    )
    if past.is_empty() or not sessions:
        raise click.ClickException(
            f"{folder} has {past['session_id'].n_unique()} sessions in the {days} days before "
            f"{asked} and {len(sessions)} of two clicks or more on it: give --asked and --days "
            "of days that it holds"
        )
    knn = SessionKnn.of(
        past["session_id"].to_numpy(),
        past["row"].to_numpy().astype(np.int64),
        past["timestamp"].dt.epoch("s").to_numpy(),
        len(items),
    )
    last = np.array([session[-1] for session in sessions])
    known = [[row for row in session[:-1] if row >= 0] for session in sessions]
    started = time.process_time()
    best = np.concatenate(
        [_best(knn.scores(known[at : at + _BLOCK])) for at in range(0, len(known), _BLOCK)]
    )
    seconds = time.process_time() - started
    popular = _best(np.bincount(past["row"].to_numpy(), minlength=len(items))[None])
    return {
        "asked": str(asked),
        "sessions": len(sessions),
        "learned_from": past["session_id"].n_unique(),
        "items": len(items),
        "ms_a_session": 1000 * seconds / len(sessions),
        "session_knn": asdict(bootstrap((best == last[:, None]).any(axis=1).astype(float))),
        "popularity": asdict(bootstrap((popular == last[:, None]).any(axis=1).astype(float))),
    }


def _best(scores: np.ndarray) -> np.ndarray:
    """Rows of the items with the highest scores above 0, -2 for none: int64 [n, 20]."""
    order = np.argsort(-scores, axis=1, kind="stable")[:, :PLACES]
    return np.where(np.take_along_axis(scores, order, axis=1) > 0, order, -2)


if __name__ == "__main__":
    main()
