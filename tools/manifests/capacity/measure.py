"""Measures what the capacity page scales up: `python -m tools.manifests.capacity.measure`.

Over a deployment that runs: bytes of a user, an item and a logged answer in its online store, bytes
of its promoted release by item, and the memory of its model processes.
"""

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import psutil

from recsys_assets.services.deployment import releases
from recsys_assets.settings import Settings, load_settings
from recsys_assets.storage.online_store import open_store
from recsys_assets.triton.model_processes import living
from recsys_assets.triton.server import TritonServer

_PAGE = 5000


def store_bytes(url: str) -> dict[str, float]:
    """Mean bytes a key in an online store, as the store itself counts them (MEMORY USAGE).

    Keys: `user_features` and `item_features` (Feast's hashes), `seen_filter` (a user's Bloom
    filter), `logged_answer` (an entry of the request log); 0 where there is none.
    """
    sums: defaultdict[str, list[int]] = defaultdict(lambda: [0, 0])
    with open_store(url) as client:
        for key in client.scan_iter(count=_PAGE):
            kind = _kind(key)
            if kind is not None:
                entries = client.xlen(key) if kind == "logged_answer" else 1
                sums[kind][0] += client.memory_usage(key, samples=0)
                sums[kind][1] += entries
    kinds = ("user_features", "item_features", "seen_filter", "logged_answer")
    return {kind: sums[kind][0] / sums[kind][1] if sums[kind][1] else 0.0 for kind in kinds}


def _kind(key: bytes) -> str | None:
    if key == b"recsys:answers":
        return "logged_answer"
    if key.startswith(b"seen:"):
        return "seen_filter"
    for entity in ("user", "item"):
        if f"{entity}_id".encode() in key:
            return f"{entity}_features"
    return None


def release_bytes(folder: Path, items: int) -> dict[str, float]:
    """Bytes an item of a release's files: all of them, and its text embeddings."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    text = [path for path in files if path.name.startswith("item_text_embeddings")]
    return {
        "release": sum(path.stat().st_size for path in files) / items,
        "text_embeddings": sum(path.stat().st_size for path in text) / items,
    }


def process_bytes(pid: int) -> dict[str, int]:
    """Resident and proportional memory of a process; the latter shares out what is shared."""
    memory = psutil.Process(pid).memory_full_info()
    return {"resident": memory.rss, "proportional": memory.pss}


def measure(settings: Settings) -> dict[str, Any]:
    """All of it, for the deployment that the settings mean; its services must run."""
    known = releases(settings)
    live = known.promoted()
    server = TritonServer.of(settings).daemon.pid
    if live is None or server is None:
        raise RuntimeError("nothing is served: run `recsys up` first")
    ids = next(known.fetch(live.release).rglob("item_index/item_ids.json"))
    items = len(json.loads(ids.read_text(encoding="utf-8")))
    processes = [process_bytes(pid) for pid in sorted(living(server, live.release))]
    return {
        "items": items,
        "store": store_bytes(settings.online_store_url),
        "release": release_bytes(known.fetch(live.release), items),
        "processes": processes,
    }


if __name__ == "__main__":
    print(json.dumps(measure(load_settings()), indent=2))
