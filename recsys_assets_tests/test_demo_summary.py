import io
from pathlib import Path

import pytest

from recsys_assets.demo_summary import show_summary
from recsys_assets.terminal.screen import Screen

FIGURES = {"recall@10": 0.02, "recall@100": 0.08, "coverage@10": 0.002}


def slate(user_id, kind):
    items = [
        {"item_id": f"item-{n}", "score": -n / 2, "text": f"text {n} of a product of this shop"}
        for n in range(10)
    ]
    return {"kind": kind, "user_id": user_id, "release": 1, "degraded": False, "items": items}


@pytest.fixture(scope="module")
def shown():
    """The summary of a demo in which this recommender is the second best."""
    stream = io.StringIO()
    summary = {
        "recommendations": [
            slate("rare", "known"),
            slate("often", "known"),
            slate("", "anonymous"),
        ],
        "evaluation": {
            name: FIGURES | {"ndcg@10": value}
            for name, value in {"popularity": 0.01, "two_stage": 0.02, "ease": 0.03}.items()
        },
        "serving": {"requests": 1000, "p50_ms": 9.02, "p99_ms": 13.38, "degraded": 0},
        "parity": {"compared": 69000, "different": 0},
    }
    show_summary(Screen(stream), summary, Path("var/demo/summary.json"))
    return [line.strip() for line in stream.getvalue().splitlines()]


def test_slates_come_first_short(shown):
    titles = [line for line in shown if line.startswith("for ")]

    assert shown[0] == titles[0] == "for user often, the first 5 of 10"
    assert titles[1] == "for an anonymous visitor, the first 5 of 10"
    assert sum("text " in line for line in shown) == 10


def test_methods_have_plain_names_the_best_first(shown):
    rows = [line.split("│")[1].strip() for line in shown if "0.0800" in line]

    assert rows == ["EASE", "this recommender", "popularity"]


def test_speed_and_parity_follow_and_where_to_look_next(shown):
    assert shown[-4:] == [
        "latency of 1000 requests by one client: p50 9.0 ms, p99 13.4 ms; 0 degraded",
        "features served against features trained on: 69000 values compared, 0 different",
        "next: `recsys recommend --user often` asks again, `recsys ui` shows the asset graph, "
        "`recsys down` stops the services",
        "all figures: var/demo/summary.json",
    ]
