from dataclasses import fields, replace

import pytest
from click.testing import CliRunner

from tools.manifests.capacity import __main__ as command
from tools.manifests.capacity.__main__ import PAGE, main
from tools.manifests.capacity.arithmetic import ITEMS, USERS, Capacity
from tools.manifests.capacity.inputs import Assumed, Measured, Prices
from tools.manifests.capacity.page import page
from tools.manifests.capacity.text import FORMULAS, evaluate, names, with_numbers

MILLION = 1_000_000


@pytest.fixture
def capacity() -> Capacity:
    return Capacity()


def test_the_page_is_what_the_code_computes(capacity: Capacity) -> None:
    remedy = "stale: run `python -m tools.manifests.capacity`"
    assert PAGE.read_text(encoding="utf-8") == page(capacity), remedy
    assert PAGE.with_suffix(".png").is_file(), remedy


@pytest.mark.parametrize("users", USERS)
@pytest.mark.parametrize("items", ITEMS)
def test_formulas_as_printed_give_what_the_code_gives(users: int, items: int) -> None:
    capacity = Capacity()
    known = names(capacity, users, items)
    for result, formula in FORMULAS.items():
        known[result] = evaluate(formula, known)
        assert evaluate(with_numbers(formula, known), {}) == pytest.approx(known[result], rel=1e-6)
    plan = capacity.plan(users, items)
    computed = {
        "requests": plan.peak_requests,
        "pods": plan.pods,
        "pod": plan.pod_bytes,
        "serving_nodes": plan.serving_nodes,
        "store": plan.store_bytes,
        "store_nodes": plan.store_nodes,
        "executors": plan.executors,
        "training": plan.training_hours,
        "s3": plan.s3_bytes,
        "dollars": plan.total,
    }
    assert {name: known[name] for name in FORMULAS} == pytest.approx(computed, rel=1e-9)


class TestByHand:
    """Figures worked out with a pocket calculator from the inputs."""

    def test_ten_million_users_ask_694_times_a_second(self, capacity: Capacity) -> None:
        # 10 M x 10 % x 20 = 20 M a day; / 86,400 = 231.5 a second; x 3
        assert capacity.peak_requests(10 * MILLION) == pytest.approx(694.4, abs=0.1)

    def test_a_hundred_million_need_16_pods_of_4_cores(self, capacity: Capacity) -> None:
        # 6,944 / (190 x 4 x .6 = 456) = 15.2
        assert capacity.pods(100 * MILLION, shards=1) == 16

    def test_filters_of_a_hundred_million_users_take_160_gb(self, capacity: Capacity) -> None:
        quiet = replace(capacity, assumed=replace(capacity.assumed, daily_active=0.0))
        stored = quiet.store_bytes(quiet.layouts()[0], 100 * MILLION, 0)
        assert stored == pytest.approx(161.2e9 + 41.4e9, rel=1e-3)

    def test_an_hnsw_index_of_ten_million_takes_5_gb(self, capacity: Capacity) -> None:
        assert capacity.index_bytes("hnsw", 10 * MILLION) == pytest.approx(5.28e9)

    def test_a_day_of_features_of_ten_million_users(self, capacity: Capacity) -> None:
        # 15 M events x 157 µs x 3 + 34 s
        assert capacity.features_cpu(10 * MILLION) == pytest.approx(7_099, abs=1)
        assert capacity.executors(10 * MILLION) == 1
        assert capacity.executors(100 * MILLION) == 5

    def test_the_demo_takes_what_was_measured(self, capacity: Capacity) -> None:
        two = replace(capacity, assumed=replace(capacity.assumed, pod_cores=2))
        measured = 1_559_075 << 10  # proportional memory of its four processes
        assert two.pod_bytes(two.layouts()[0], 2_446, 92_331) == pytest.approx(measured, rel=0.01)


class TestGrowth:
    """More never takes less, within a layout."""

    @pytest.mark.parametrize("layout", [0, 1])
    def test_memory_of_a_pod(self, capacity: Capacity, layout: int) -> None:
        chosen = capacity.layouts()[layout]
        by_items = [capacity.pod_bytes(chosen, MILLION, items) for items in ITEMS]
        by_users = [capacity.pod_bytes(chosen, users, MILLION) for users in USERS]
        assert by_items == sorted(by_items)
        assert by_users == sorted(by_users)

    def test_everything_but_the_layout(self, capacity: Capacity) -> None:
        lean = replace(capacity, assumed=replace(capacity.assumed, pod_limit=5e9))
        for items in ITEMS:
            plans = [lean.plan(users, items) for users in USERS]
            for name in ("peak_requests", "pods", "store_bytes", "executors", "s3_bytes", "total"):
                values = [getattr(plan, name) for plan in plans]
                assert values == sorted(values), name
        for users in USERS:
            totals = [lean.plan(users, items).total for items in ITEMS]
            assert totals == sorted(totals)

    def test_a_smaller_limit_never_means_fewer_shards(self, capacity: Capacity) -> None:
        shards = []
        for limit in (512e9, 256e9, 128e9):
            tight = replace(capacity, assumed=replace(capacity.assumed, pod_limit=limit))
            shards.append(tight.plan(MILLION, 100 * MILLION).shards)
        assert shards == sorted(shards)


def test_no_shard_is_above_the_limit_and_each_has_two_pods(capacity: Capacity) -> None:
    for users in USERS:
        for items in ITEMS:
            plan = capacity.plan(users, items)
            assert plan.pod_bytes <= capacity.assumed.pod_limit
            assert plan.pods >= 2 * plan.shards


@pytest.mark.parametrize("inputs", [Measured, Assumed, Prices])
def test_every_input_names_its_unit_and_source(inputs: type) -> None:
    for known in fields(inputs):
        assert known.metadata["unit"], known.name
        assert known.metadata["source"], known.name


def test_an_assumption_is_an_option(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "PAGE", tmp_path / "capacity.md")
    told = CliRunner().invoke(main, ["--peak", "6", "--no-write"])
    assert told.exit_code == 0
    assert "| 100 M | 1 M | 13,889 |" in told.output
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("formula", ["users ** 2", "open('x')", "'a'", "users if users else 1"])
def test_a_formula_is_arithmetic(formula: str) -> None:
    with pytest.raises(ValueError, match="is not arithmetic"):
        evaluate(formula, {"users": 1.0})
