import os
from pathlib import Path

import pytest

from recsys_assets.settings import load_settings
from tools.manifests.capacity.measure import measure, process_bytes, release_bytes, store_bytes


@pytest.mark.integration
def test_a_store_is_measured_by_kind_of_key(valkey_url: str) -> None:
    import redis

    with redis.Redis.from_url(valkey_url) as client:
        client.hset(b"\x07user_id\x021609recsys", mapping={b"a": b"x" * 300})
        client.hset(b"\x07item_id\x02995242recsys", mapping={b"a": b"x" * 100})
        client.execute_command("BF.RESERVE", "seen:{1609}", 0.01, 1000)
        for _ in range(10):
            client.xadd("recsys:answers", {"answer": "x" * 1000})
        client.set("something:else", "x" * 10_000)
    measured = store_bytes(valkey_url)
    assert 300 < measured["user_features"] < 700
    assert 100 < measured["item_features"] < measured["user_features"]
    assert 1_500 < measured["seen_filter"] < 2_500
    assert 1_000 < measured["logged_answer"] < 2_000


@pytest.mark.integration
def test_an_empty_store_has_no_bytes(valkey_url: str) -> None:
    assert set(store_bytes(valkey_url).values()) == {0.0}


def test_a_release_is_measured_by_item(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "models/item_text_embeddings.npy").write_bytes(b"x" * 1500)
    (tmp_path / "models/ranker.onnx").write_bytes(b"x" * 500)
    assert release_bytes(tmp_path, 10) == {"release": 200.0, "text_embeddings": 150.0}


def test_a_process_is_measured() -> None:
    measured = process_bytes(os.getpid())
    assert 0 < measured["proportional"] <= measured["resident"]


def test_nothing_served_is_said(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="run `recsys up` first"):
        measure(load_settings({"RECSYS_HOME": str(tmp_path)}))
