"""What memory, pods, executors and money follow from the measured figures.

Every formula is a function below, in bytes, seconds, cores and dollars.
"""

import math
from dataclasses import dataclass, field, replace

from tools.manifests.capacity.inputs import Assumed, Measured, Prices

USERS = (1_000_000, 10_000_000, 100_000_000)
ITEMS = (1_000_000, 10_000_000, 100_000_000, 1_000_000_000)
_DAYS = 30.4  # in a month


@dataclass(frozen=True)
class Layout:
    """How a pod holds items: `copies` of what is private to a process; who holds users' rows."""

    name: str
    index: str
    text: float
    copies: int
    holds_users: bool


@dataclass(frozen=True)
class Plan:
    """What one number of users and items takes."""

    users: int
    items: int
    peak_requests: float
    layout: Layout
    pod_bytes: float
    shards: int
    pods: int
    serving_nodes: int
    store_bytes: float
    store_nodes: int
    executors: int
    training_hours: float
    s3_bytes: float
    month: dict[str, float]

    @property
    def total(self) -> float:
        """Dollars a month."""
        return sum(self.month.values())


@dataclass(frozen=True)
class Capacity:
    """The arithmetic, over its inputs."""

    measured: Measured = field(default_factory=Measured)
    assumed: Assumed = field(default_factory=Assumed)
    prices: Prices = field(default_factory=Prices)

    def layouts(self) -> tuple[Layout, Layout]:
        """As built and the default; and lean, parts of which are not built (see the page)."""
        built = Layout("as built", "hnsw", 1.0, self.assumed.pod_cores, True)
        text = self.measured.text_item_int8
        return built, Layout("lean", "ivfsq8", text, 1, False)

    def index_bytes(self, kind: str, items: int) -> float:
        """Items x bytes of a vector in an index of this kind."""
        return items * float(getattr(self.measured, f"index_{kind}"))

    def pod_bytes(self, layout: Layout, users: int, items: int) -> float:
        """Memory of a Triton pod.

        releases x (items x text + copies x (base + items x (private + index) + users x rows))
        """
        m, a = self.measured, self.assumed
        rows = users * (2 * m.purchase_counts + m.id_rows) if layout.holds_users else 0.0
        private = items * m.process_item + self.index_bytes(layout.index, items) + rows
        text = items * m.text_item * layout.text
        base = a.pod_cores * m.process_base
        return a.releases_loaded * (text + base + layout.copies * private)

    def peak_requests(self, users: int) -> float:
        """Requests/s in the busiest hour: users x active x requests / 86,400 s x peak."""
        a = self.assumed
        return users * a.daily_active * a.requests_a_day / 86_400 * a.peak

    def pods(self, users: int, shards: int) -> int:
        """Pods for the peak, and at least two of each shard.

        Every shard is searched by each request; the rest of a request is done once.
        """
        m, a = self.measured, self.assumed
        work = 1 + m.retrieve_share * (shards - 1)
        pod = m.requests_per_core * a.pod_cores * a.utilisation
        return max(2 * shards, math.ceil(self.peak_requests(users) * work / pod))

    def store_bytes(self, layout: Layout, users: int, items: int) -> float:
        """Bytes in one copy of the online store: users, items, and answers not yet collected."""
        m, a = self.measured, self.assumed
        rows = 0.0 if layout.holds_users else m.purchase_counts + m.id_rows
        answers = users * a.daily_active * a.requests_a_day * a.log_hours / 24
        people = users * (m.user_features + m.seen_filter + rows)
        return people + items * m.item_features + answers * m.logged_answer

    def store_nodes(self, stored: float) -> int:
        """Nodes of the online store: bytes x copies / usable memory of a node."""
        a, p = self.assumed, self.prices
        return a.store_copies * math.ceil(stored / (p.store_memory * a.store_filled))

    def features_cpu(self, users: int) -> float:
        """CPU seconds of a day's features: fixed + events x seconds an event x slowdown."""
        m, a = self.measured, self.assumed
        events = users * a.daily_active * a.events_a_day
        return m.features_fixed + events * m.features_event * a.spark_slowdown

    def executors(self, users: int) -> int:
        """Spark executors that end in `spark_hours`."""
        a = self.assumed
        return math.ceil(self.features_cpu(users) / (a.spark_hours * 3600 * a.spark_cores))

    def training_hours(self, users: int) -> float:
        """GPU hours of a full training: two-tower and DLRM, passes x rows / (rows/s x speed)."""
        m, a = self.measured, self.assumed
        purchases = users * a.daily_active * a.purchases_a_day * a.train_days
        seconds = purchases / m.two_tower_rows + purchases * (1 + a.negatives) / m.dlrm_rows
        return a.passes * seconds / a.gpu_speed / 3600

    def s3_bytes(self, users: int, items: int) -> float:
        """Tables of `days_kept` (a snapshot for each active user and day) and releases."""
        m, a = self.measured, self.assumed
        day = m.user_row + a.events_a_day * m.event_row + a.requests_a_day * m.logged_row
        tables = users * a.daily_active * day * a.days_kept
        return tables + a.releases_kept * items * m.release_item

    def plan(self, users: int, items: int) -> Plan:
        """Takes the first layout that fits into a pod; the lean one, in shards, if none does."""
        built, lean = self.layouts()
        limit = self.assumed.pod_limit
        layout = built if self.pod_bytes(built, users, items) <= limit else lean
        whole = self.pod_bytes(layout, users, items)
        shards = max(1, math.ceil(whole / limit))
        pod = self.pod_bytes(layout, users, math.ceil(items / shards))
        pods = self.pods(users, shards)
        stored = self.store_bytes(layout, users, items)
        nodes = self._nodes(pods * self.assumed.pod_cores, pods * pod)
        plan = Plan(
            users,
            items,
            self.peak_requests(users),
            layout,
            pod,
            shards,
            pods,
            nodes,
            stored,
            self.store_nodes(stored),
            self.executors(users),
            self.training_hours(users),
            self.s3_bytes(users, items),
            {},
        )
        return replace(plan, month=self._month(plan))

    def _nodes(self, cores: float, memory: float) -> int:
        p = self.prices
        return math.ceil(max(cores / p.node_cores, memory / p.node_memory))

    def _month(self, plan: Plan) -> dict[str, float]:
        a, p = self.assumed, self.prices
        return {
            "serving": plan.serving_nodes * p.node_hour * p.hours,
            "online store": plan.store_nodes * p.store_hour * p.hours,
            "Spark": plan.executors * a.spark_hours * _DAYS * p.spark_hour,
            "GPU": plan.training_hours * a.trainings * p.gpu_hour,
            "S3": plan.s3_bytes / 1e9 * p.s3_month,
            "platform": self._nodes(a.platform_cores, 0) * p.node_hour * p.hours
            + p.postgres_month
            + p.control_month,
        }
