import numpy as np

from benchmarks.slate import NONE, alpha, as_row, settings_to_compare
from benchmarks.slate_quality import Judged, SlateSetting
from benchmarks.slate_report import as_markdown, plot
from recsys_assets.pipeline.diversity import Diversity

PNG = b"\x89PNG"


def judged(ndcg, diversity=0.5):
    values = np.full(4, ndcg)
    metrics = {"ndcg_at_10": values, "recall_at_10": values / 2}
    return Judged(metrics, (ndcg - 0.1, ndcg + 0.1), 0.02, diversity, 0.8, 30.0)


def rows():
    baseline = judged(0.4)
    return [
        as_row(setting, judged(0.4 + n / 100, 0.5 + n / 100), baseline)
        for n, setting in enumerate(settings_to_compare())
    ]


def test_the_first_setting_changes_nothing_and_names_are_its_own():
    first, *others = settings_to_compare()
    assert (first.name, first.diversity.trade_off, first.temperature) == (NONE, 1, 0)
    assert len({setting.name for setting in (first, *others)}) == 1 + len(others)


def test_both_methods_sampling_and_their_combination_are_compared():
    kinds = {
        (row["method"], row["temperature"] > 0, len(row["seeds"]))
        for row in (as_row(setting, judged(0.4), judged(0.4)) for setting in settings_to_compare())
    }
    assert kinds == {
        (NONE, False, 1),
        ("mmr", False, 1),
        ("dpp", False, 1),
        (NONE, True, 3),
        ("mmr", True, 3),
    }


def test_alpha_is_that_of_the_paper():
    assert (alpha(0.5), alpha(0.0)) == (0.5, 0.0)


def test_a_row_holds_the_difference_to_the_baseline():
    row = as_row(SlateSetting("mmr 0.5", Diversity(0.5, 50)), judged(0.5), judged(0.4))
    mean, low, high = row["ndcg_at_10_difference"]
    assert np.isclose([mean, low, high], 0.1).all()


def test_the_table_has_a_line_for_each_setting_and_depth():
    ranked = [
        {
            "ranked": 100,
            "ndcg_at_10": 0.4,
            "ndcg_at_10_difference": [-0.01, -0.02, 0.0],
            "recall_at_10": 0.2,
            "recall_at_10_difference": [0.0, 0.0, 0.0],
        }
    ]
    text = as_markdown(rows(), ranked)
    assert "| none | 0.4000 | +0.0000 (+0.0000 to +0.0000) | 0.2000 | 2.00% |" in text
    assert "| 100 | 0.4000 | -0.0100 (-0.0200 to +0.0000) | 0.2000 |" in text
    assert "(0.4300 to 0.6300)" in text  # of the seeds of the first setting that samples
    assert len([line for line in text.splitlines() if line.startswith("| ")]) == 1 + 17 + 1 + 1


def test_the_picture_is_a_png():
    assert plot(rows(), households=4).startswith(PNG)
