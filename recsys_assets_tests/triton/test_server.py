"""What a server that was killed has left, and the next one in its place."""

from dataclasses import replace
from pathlib import Path

from recsys_assets.runtime.processes import free_addresses
from recsys_assets.triton import server as triton_module
from recsys_assets.triton.server import Addresses, TritonServer


def on_free_ports(server: TritonServer) -> TritonServer:
    return replace(server, addresses=Addresses(*free_addresses(3)))


def test_the_next_server_in_its_place_frees_its_shared_memory(tmp_path, monkeypatch):
    """As the canary's server, which is on other ports each time."""
    killed = TritonServer(
        Path("python"), tmp_path / "models", tmp_path, Addresses(*free_addresses(3)), "redis://"
    )
    other = replace(killed, folder=tmp_path / "other")
    monkeypatch.setattr(triton_module, "_SHARED_MEMORY", tmp_path)
    left, kept = (tmp_path / f"{one.shared_memory_prefix}0" for one in (killed, other))
    for region in (left, kept):
        region.touch()
    on_free_ports(killed).stop()
    assert not left.exists()
    assert kept.exists()
