"""What settings of the slate do: `python -m benchmarks.slate`.

Candidates of the promoted release for every request of the evaluation week, scored once, then
arranged with each setting: re-ranking by MMR and by DPP, sampling, and both. Beside it, how many
candidates are worth ranking. Prints two tables, and writes `bench/slate.json`, `slate.md` and
`slate.png` in the home folder. Seeds of sampling and of the bootstrap are fixed.
"""

import argparse
import json
import sys
from collections.abc import Mapping

import numpy as np

from benchmarks.machine import describe_machine
from benchmarks.slate_quality import (
    Judged,
    Kinds,
    Scored,
    SlateSetting,
    judge,
    scored_candidates,
    sessions_of_split,
)
from benchmarks.slate_report import Row, as_markdown, plot
from recsys_assets.evaluation.split import load_split
from recsys_assets.pipeline.diversity import Diversity
from recsys_assets.releases.offline import OfflineRelease
from recsys_assets.releases.release import Releases
from recsys_assets.settings import Settings, load_settings
from recsys_assets.storage import Store

NONE = "none"
_POOL = 50
_SEEDS = (0, 1, 2)
_MMR = (0.9, 0.8, 0.7, 0.6, 0.5)
_DPP = (0.95, 0.9, 0.8, 0.7, 0.5)
_TEMPERATURES = (0.1, 0.3, 1.0)
_RANKED = (300, 200, 100, 50)


def settings_to_compare() -> list[SlateSetting]:
    """Every setting of the table; the first one is what the others are held against."""
    unchanged = Diversity(1.0, _POOL)
    mmr = [SlateSetting(f"mmr {t}", Diversity(t, _POOL)) for t in _MMR]
    wider = SlateSetting("mmr 0.8, pool 100", Diversity(0.8, 100))
    dpp = [SlateSetting(f"dpp {t}, alpha {alpha(t):.3g}", Diversity(t, _POOL, "dpp")) for t in _DPP]
    sampled = [SlateSetting(f"sampling {t}", unchanged, t, _SEEDS) for t in _TEMPERATURES]
    both = [
        SlateSetting(f"mmr 0.7, sampling {t}", Diversity(0.7, _POOL), t, _SEEDS)
        for t in _TEMPERATURES[:2]
    ]
    return [SlateSetting(NONE, unchanged), *mmr, wider, *dpp, *sampled, *both]


def alpha(theta: float) -> float:
    """The exponent of a DPP's quality that a trade-off stands for."""
    return theta / (2 * (1 - theta))


def as_row(setting: SlateSetting, judged: Judged, baseline: Judged) -> Row:
    """One line of the table, for JSON; differences are to the baseline, with their intervals."""
    diversity = setting.diversity
    return {
        "name": setting.name,
        "method": diversity.method if diversity.trade_off < 1 else NONE,
        "trade_off": diversity.trade_off,
        "pool": diversity.pool,
        "temperature": setting.temperature,
        "seeds": list(setting.seeds),
        **_quality(judged, baseline),
        "ndcg_at_10_of_seeds": list(judged.seeds_ndcg),
        "coverage_at_10": judged.coverage,
        "intra_list_diversity": judged.diversity,
        "distinct_category_l2": judged.categories,
        "microseconds": judged.microseconds,
    }


def _quality(judged: Judged, baseline: Judged) -> Row:
    row: Row = {}
    for metric, values in judged.per_request.items():
        difference = judged.difference(baseline, metric)
        row[metric] = float(values.mean())
        row[f"{metric}_difference"] = [difference.mean, difference.low, difference.high]
    return row


def measure(settings: Settings, release: int) -> Row:
    """Everything that is written as JSON, of a release in the store of the settings."""
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    store = Store(settings.storage_url)
    _progress("reading history and the evaluated days")
    split = load_split(store, settings)
    sessions = sessions_of_split(store, split, settings)
    kinds = Kinds.load(store, split.item_ids)
    judged = OfflineRelease.load(Releases(store).fetch(release), release)
    own = judged.depth.ranked
    scored = {}
    for ranked in sorted({own, *_RANKED}, reverse=True):
        _progress(f"release {release} ranks {ranked} candidates of {len(sessions)} requests")
        scored[ranked] = scored_candidates(judged, split, sessions, ranked)
    with threadpool_limits(1, "blas"):  # as where it is served
        slates = _slates(scored[own], kinds)
    return {
        "machine": describe_machine() | {"numpy": np.__version__},
        "release": release,
        "ranked_by_release": own,
        "first_day": settings.evaluation_from.isoformat(),
        "days": settings.evaluation_days,
        "households": len(sessions),
        "slates": slates,
        "ranked": _depths(scored, kinds, SlateSetting("as released", judged.rank.diversity)),
    }


def _slates(scored: Scored, kinds: Kinds) -> list[Row]:
    rows = []
    compared = settings_to_compare()
    baseline = judge(scored, kinds, compared[0])
    for setting in compared:
        _progress(f"arranging: {setting.name}")
        rows.append(as_row(setting, judge(scored, kinds, setting), baseline))
    return rows


def _depths(scored: Mapping[int, Scored], kinds: Kinds, setting: SlateSetting) -> list[Row]:
    judged = {ranked: judge(found, kinds, setting) for ranked, found in scored.items()}
    most = judged[max(judged)]
    return [{"ranked": ranked, **_quality(one, most)} for ranked, one in judged.items()]


def _progress(line: str) -> None:
    sys.stderr.write(f"{line}\n")


def main() -> None:
    """Measures the promoted release of the settings."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--release", type=int, help="another one than the promoted release")
    release: int | None = parser.parse_args().release
    settings = load_settings()
    if release is None:
        promoted = Releases(Store(settings.storage_url)).promoted()
        if promoted is None:
            raise SystemExit(f"{settings.storage_url} has no promoted release: run `recsys demo`")
        release = promoted.release
    found = measure(settings, release)
    folder = settings.home / "bench"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "slate.json").write_text(json.dumps(found, indent=2))
    table = as_markdown(found["slates"], found["ranked"])
    (folder / "slate.md").write_text(table)
    (folder / "slate.png").write_bytes(plot(found["slates"], found["households"]))
    sys.stdout.write(f"{json.dumps(found['machine'])}\n{table}written: {folder}/slate.json\n")


if __name__ == "__main__":
    main()
