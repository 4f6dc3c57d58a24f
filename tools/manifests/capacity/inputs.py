"""What the capacity page starts from: measured figures, assumptions and prices, with sources.

Replace an assumption or a price here, or on the command line (`capacity.py`); the page follows.
"""

from dataclasses import dataclass, field
from typing import Any

GB = 1e9


def given(value: Any, unit: str, source: str) -> Any:
    """A field with its value, its unit, and where the value is from."""
    return field(default=value, metadata={"unit": unit, "source": source})


_STORE = "`capacity.measure`, the demo's Valkey: 2,446 users, 92,331 items, 120,281 logged answers"
_PROCESS = "`capacity.measure`, four model processes of two releases of 92,331 items"
_LOAD = "Results, Under load"
_INDEX = "Results, Vector search"
_DEMO = "Results, Figures; `demo/summary.json`"


@dataclass(frozen=True)
class Measured:
    """Measured on 2 cores without a GPU, on Complete Journey: 2,446 users and 92,331 items."""

    user_features: float = given(414.0, "B/user", _STORE)
    seen_filter: float = given(1_612.0, "B/user", _STORE + "; 1,000 items at 1 % error")
    item_features: float = given(335.0, "B/item", _STORE)
    logged_answer: float = given(1_593.0, "B/answer", _STORE)
    process_base: float = given(76e6, "B/process", _PROCESS + ": less users, items and index")
    purchase_counts: float = given(
        3_491.0,
        "B/user",
        "arrays of `tastes.npz`, 275 purchases a user; a process holds them twice",
    )
    id_rows: float = given(192.0, "B/user", "embedding rows of 32 and 16 numbers, hyperparameters")
    process_item: float = given(
        2_008.0,
        "B/item/process",
        "`RankStage.load` of the demo's items laid 1, 2 and 4 times: 1,866 B more for each; "
        "142 B of id rows in its models",
    )
    text_item: float = given(
        1_536.0, "B/item/release", "384 numbers of 4 B, mapped by all processes"
    )
    text_item_int8: float = given(0.256, "of text_item", "Results, Quantized releases")
    index_flat: float = given(256.0, "B/item", _INDEX + ", 1 M: 244 MiB")
    index_hnsw: float = given(528.0, "B/item", _INDEX + ", 1 M: 504 MiB")
    index_ivfsq8: float = given(72.1, "B/item", _INDEX + ", 10 M: 688 MiB; recall@100 .981")
    index_ivfpq: float = given(40.2, "B/item", _INDEX + ", 10 M: 383 MiB; recall@100 .737")
    requests_per_core: float = given(
        190.0,
        "requests/s/core",
        _LOAD + ": 380/s at p99 <= 25 ms, 2 cores shared with the generator",
    )
    retrieve_share: float = given(
        0.215, "of a request's time", "`make bench-serving`, stages at 100/s: 1.05 of 4.89 ms"
    )
    features_fixed: float = given(
        34.0, "CPU s/day", "`features/spark_session.py`: one day, 3,995 events"
    )
    features_event: float = given(
        157e-6, "CPU s/event", _DEMO + ": 88 s on 2 cores for 280 days, 1,117,349 events"
    )
    two_tower_rows: float = given(14_000.0, "examples/s", _DEMO + ": 200,000 in 14.3 s, 2 cores")
    dlrm_rows: float = given(53_500.0, "rows/s", _DEMO + ": 1,080,000 in 20.2 s, 2 cores")
    event_row: float = given(10.5, "B/event", "table `interactions`, 1,454,362 rows")
    user_row: float = given(55.0, "B/snapshot", "table `user_features`, 339,875 rows")
    logged_row: float = given(1_531.0, "B/answer", "table `request_log` of the replay, 31,239 rows")
    release_item: float = given(2_352.0, "B/item/release", "`capacity.measure`, files of a release")


@dataclass(frozen=True)
class Assumed:
    """Nothing of this was measured: put in what is known of the shop."""

    daily_active: float = given(0.10, "of users", "assumption")
    requests_a_day: float = given(20.0, "requests/active user", "assumption: pages with a slate")
    events_a_day: float = given(15.0, "events/active user", "assumption: views, carts, purchases")
    purchases_a_day: float = given(0.3, "purchases/active user", "assumption")
    peak: float = given(3.0, "busiest hour over mean", "assumption")
    utilisation: float = given(0.6, "of measured capacity", "assumption: room for a lost zone")
    pod_cores: int = given(
        4, "cores, and model processes, a pod", "assumption: 1 each, as measured"
    )
    releases_loaded: int = given(2, "releases", "the live one and the one before")
    pod_limit: float = given(256 * GB, "B", "assumption: above it a pod has few nodes to run on")
    log_hours: float = given(1.0, "h", "minutes by `answers_sensor`; room for Dagster to be down")
    store_copies: int = given(2, "copies", "assumption: one replica of each shard")
    store_filled: float = given(0.75, "of a node's memory", "ElastiCache's reserved memory, 25 %")
    spark_slowdown: float = given(3.0, "times", "assumption: shuffle, skew and S3")
    spark_hours: float = given(1.0, "h", "assumption: the features must be there by then")
    spark_cores: int = given(4, "cores an executor", "assumption")
    train_days: float = given(90.0, "days of purchases", "assumption")
    passes: float = given(4.0, "passes", "as configured: 3 epochs and a final one")
    negatives: float = given(8.0, "negatives a purchase", "as configured for DLRM")
    gpu_speed: float = given(20.0, "times 2 cores", "assumption, not measured: no GPU was at hand")
    trainings: float = given(30 / 7, "a month", "RECSYS_RETRAIN_EVERY_DAYS=7")
    days_kept: float = given(365.0, "days", "assumption: tables")
    releases_kept: float = given(10.0, "releases", "assumption")
    platform_cores: float = given(16.0, "cores", "assumption: Dagster, services, monitoring")


@dataclass(frozen=True)
class Prices:
    """US dollars. AWS list prices on demand, us-east-1, as known in mid-2025; not looked up here.

    Reserved or spot capacity, and another region, change them by up to two thirds: replace them.
    """

    node_hour: float = given(0.2646, "$/h", "r7i.xlarge: 4 vCPU, 32 GiB; larger ones in proportion")
    node_cores: int = given(4, "vCPU", "r7i.xlarge")
    node_memory: float = given(32 * 2**30, "B", "r7i.xlarge")
    spark_hour: float = given(0.2016, "$/h", "m7i.xlarge: 4 vCPU, 16 GiB, one executor")
    gpu_hour: float = given(1.006, "$/h", "g5.xlarge: one A10G")
    store_hour: float = given(0.3496, "$/h", "cache.r7g.xlarge for Valkey: 0.437 less 20 %")
    store_memory: float = given(26.32 * 2**30, "B", "cache.r7g.xlarge")
    s3_month: float = given(0.023, "$/GB/month", "S3 Standard, first 50 TB")
    postgres_month: float = given(260.0, "$/month", "db.m7g.large, two zones, 50 GB gp3; all sizes")
    control_month: float = given(73.0, "$/month", "EKS, 0.10 $/h")
    hours: float = given(730.0, "h/month", "a month")
