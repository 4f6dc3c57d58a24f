"""Formulas of the capacity page, which are executable as they are printed, and its prose.

The functions of `capacity.py` and these formulas say the same; a test holds one against the other.
"""

import ast
import math
import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from tools.manifests.capacity.arithmetic import ITEMS, USERS, Capacity

INTRODUCTION = """
Written by `python -m tools.manifests.capacity`; a test compares it with the code. Nothing of
this size was run: it is arithmetic over figures that were measured on 2 cores, and over assumptions
that are named as such. `--help` lists an option for each assumption.
"""

# In the order in which one uses the result of another.
FORMULAS = {
    "requests": "users * daily_active * requests_a_day / 86400 * peak",
    "pods": "max(2 * shards, ceil(requests * (1 + retrieve_share * (shards - 1)) / "
    "(requests_per_core * pod_cores * utilisation)))",
    "pod": "releases_loaded * (ceil(items / shards) * text + pod_cores * process_base + copies * "
    "(ceil(items / shards) * (process_item + index) + users * rows_in_process))",
    "serving_nodes": "ceil(max(pods * pod_cores / node_cores, pods * pod / node_memory))",
    "store": "users * (user_features + seen_filter + rows_in_store) + items * item_features + "
    "users * daily_active * requests_a_day * log_hours / 24 * logged_answer",
    "store_nodes": "store_copies * ceil(store / (store_memory * store_filled))",
    "executors": "ceil((features_fixed + users * daily_active * events_a_day * features_event * "
    "spark_slowdown) / (spark_hours * 3600 * spark_cores))",
    "training": "passes * users * daily_active * purchases_a_day * train_days * (1 / "
    "two_tower_rows + (1 + negatives) / dlrm_rows) / gpu_speed / 3600",
    "s3": "users * daily_active * (user_row + events_a_day * event_row + requests_a_day * "
    "logged_row) * days_kept + releases_kept * items * release_item",
    "dollars": "serving_nodes * node_hour * hours + store_nodes * store_hour * hours + executors * "
    "spark_hours * 30.4 * spark_hour + training * trainings * gpu_hour + s3 / 1000000000 * "
    "s3_month + ceil(platform_cores / node_cores) * node_hour * hours + postgres_month + "
    "control_month",
}

_STRAIGHT = """
- **Memory of a process** was measured with 92,331 items, and the growth by item up to 369,324: at
  first 2,158 B an item, then 1,721 B, as loading leaves memory behind that is used again. The
  constant part was fitted to 1.60 GB for four processes of two releases, so that the sum agrees
  with that measurement proves nothing.
- **Requests a core** were measured with a catalogue of 92,331. An HNSW search of 1 M vectors
  takes .107 ms of CPU in place of .131, so retrieval does not grow by itself; caches of the
  processor that hold less of a larger catalogue were not measured. A shard adds a search and a
  hop; the hop is not counted.
- **Indexes above 10 M vectors** were not built. An IVF's lists grow with the root of the items,
  and its recall at the same effort falls (IVF-PQ: .925 at 1 M, .737 at 10 M): more lists are
  searched then, which costs CPU.
- **The lean layout is not built.** It needs three changes: purchase counts and users' id rows
  read from the online store, the item arrays of a process mapped from files as the text
  embeddings are, and shards of items behind one request. 8-bit embeddings and the smaller indexes
  are there (`make bench-quantized`, `RECSYS_INDEX`).
- **Above 100 M items** memory is the wrong place for item features: {private:,.0f} B of an item
  are not its vector. An index of vectors stays small enough ({pq:.0f} GB as IVF-PQ for 1 B), so
  the answer is features of the 300 candidates from a tier on SSD (DiskANN and the like keep the
  vectors there as well), not {shards} shards.
- **Training** is counted in rows. Embedding tables of 100 M users or 1 B items do not fit one GPU
  of 24 GB, so ids are hashed or tables are spread, which changes the speed. The speed of a GPU is
  an assumption.
- **Spark's** 280 days of one chain of shops are 1.1 M events; at a thousand times that, shuffles
  and skewed users decide. The factor for it is an assumption, and the catalogue's own cost (a row
  an item and changed day) is not counted.
- **Bytes of purchase counts** are of households with 275 distinct products in nine months. A shop
  whose users buy less has less.
- **The request log** waits in the online store for minutes, and for longer while Dagster is down:
  an hour is counted, and `RECSYS_UNCOLLECTED_ANSWERS` is to be set to it. At 100 M users take a
  stream of its own.
- **Prices** are list prices that were not looked up, without Athena's scans, traffic between
  zones, logs, support and people.
"""

_OPERATORS: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}
_FUNCTIONS: dict[str, Callable[..., Any]] = {"max": max, "ceil": math.ceil}


def names(capacity: Capacity, users: int, items: int) -> dict[str, float]:
    """What the formulas start from: all inputs, and the layout that the plan has chosen."""
    m, plan = capacity.measured, capacity.plan(users, items)
    rows = {"in_process": 2 * m.purchase_counts + m.id_rows, "in_store": 0.0}
    if not plan.layout.holds_users:
        rows = {"in_process": 0.0, "in_store": m.purchase_counts + m.id_rows}
    return {
        **asdict(m),
        **asdict(capacity.assumed),
        **asdict(capacity.prices),
        "users": users,
        "items": items,
        "shards": plan.shards,
        "copies": plan.layout.copies,
        "text": m.text_item * plan.layout.text,
        "index": capacity.index_bytes(plan.layout.index, 1),
        "rows_in_process": rows["in_process"],
        "rows_in_store": rows["in_store"],
    }


def evaluate(formula: str, known: Mapping[str, float]) -> float:
    """The value of a formula: + - * /, max, ceil, numbers and names.

    Raises:
        ValueError: it holds something else.
        KeyError: a name is not known.
    """
    return float(_value(ast.parse(formula, mode="eval").body, known))


def _value(node: ast.expr, known: Mapping[str, float]) -> float:
    match node:
        case ast.Constant(value=int() | float() as number):
            return number
        case ast.Name(id=name):
            return known[name]
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _OPERATORS:
            return float(_OPERATORS[type(op)](_value(left, known), _value(right, known)))
        case ast.Call(func=ast.Name(id=name), args=arguments) if name in _FUNCTIONS:
            return float(_FUNCTIONS[name](*(_value(argument, known) for argument in arguments)))
    raise ValueError(f"{ast.unparse(node)!r} is not arithmetic")


def with_numbers(formula: str, known: Mapping[str, float]) -> str:
    """The formula with values in the place of names."""
    return re.sub(
        r"[a-z_][a-z_0-9]*",
        lambda found: f"{known[found[0]]:.10g}" if found[0] in known else found[0],
        formula,
    )


def straight(capacity: Capacity) -> str:
    """Where a linear extrapolation is not valid."""
    most = ITEMS[-1]
    return _STRAIGHT.format(
        private=capacity.measured.process_item,
        pq=capacity.index_bytes("ivfpq", most) / 1e9,
        shards=capacity.plan(USERS[-1], most).shards,
    )
