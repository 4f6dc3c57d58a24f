"""Applies objects to an API server in this process with kubectl, and reads each back.

The server is kmock's. It stores and serves, and checks no schema: that is `schemas.py`. What it
shows is that kubectl takes every object, each kind under its group, version and namespace, and that
no two are one.
"""

import asyncio
import json
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from recsys_assets.runtime.waiting import WaitedTooLong
from recsys_assets.settings import load_settings
from tools.manifests.findings import Finding, Rendered

_NAMESPACES = "/api/v1/namespaces"


def apply_findings(rendered: Rendered) -> Iterator[Finding]:
    """What kubectl could not apply, and what came back other than it went."""
    with api_server() as url, TemporaryDirectory() as folder:
        file = Path(folder) / "rendered.yaml"
        file.write_text(rendered.text, encoding="utf-8")
        applied = _kubectl(url, folder, "apply", "--validate=false", "--filename", str(file))
        if applied.returncode:
            yield _whole(rendered, "kubectl apply", applied.stderr)
            return
        read = _kubectl(url, folder, "get", "--filename", str(file), "--output", "json")
    if read.returncode:
        yield _whole(rendered, "kubectl get", read.stderr)
        return
    yield from differences(rendered, json.loads(read.stdout)["items"])


def differences(rendered: Rendered, stored: list[dict[str, Any]]) -> Iterator[Finding]:
    """Objects that are not there, or of which something is missing."""
    found = {_key(each): each for each in stored}
    for each in rendered.objects:
        kept = found.get(_key(each))
        if kept is None:
            yield rendered.finding(each, "(object)", "", "applied, and not found again")
            continue
        for field in ("spec", "data", "rules", "subjects", "roleRef"):
            if each.get(field) != kept.get(field):
                value = json.dumps(kept.get(field))[:80]
                yield rendered.finding(each, field, value, "came back other than it was applied")


@contextmanager
def api_server() -> Iterator[str]:
    """Runs the server in a thread, on a free port of the loopback interface; gives its URL."""
    import kmock

    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="api-server", daemon=True)
    thread.start()

    async def started() -> tuple[Any, Any]:
        emulator = _emulator()
        await emulator.__aenter__()
        return emulator, await kmock.Server(emulator).__aenter__()

    async def stopped() -> None:
        await server.__aexit__(None, None, None)
        await emulator.__aexit__(None, None, None)

    def within(work: Any) -> Any:
        seconds = load_settings().wait_seconds
        try:
            return asyncio.run_coroutine_threadsafe(work, loop).result(timeout=seconds)
        except TimeoutError:
            raise WaitedTooLong("the API server in this process", seconds) from None

    emulator, server = within(started())
    try:
        yield str(server.url).rstrip("/")
    finally:
        within(stopped())
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def _emulator() -> Any:
    """The emulator with every built-in kind, and with namespaces as objects.

    It takes `/api/v1/namespaces` for the prefix of what is in one, so they are kept elsewhere.
    """
    import kmock

    class Emulator(kmock.KubernetesEmulator):
        async def __call__(self, raw_request: Any) -> Any:
            own = raw_request.path.removeprefix(_NAMESPACES).strip("/")
            if raw_request.path.startswith(_NAMESPACES) and "/" not in own:
                path = f"/api/v1/clusternamespaces/{own}".rstrip("/")
                raw_request = raw_request.clone(rel_url=raw_request.rel_url.with_path(path))
            return await super().__call__(raw_request)

        async def _serve_version(self, request: kmock.Request) -> Any:
            served: Any = await super()._serve_version(request)
            return {**served, "groupVersion": served["groupVersion"].lstrip("/")}

    emulator = Emulator()
    emulator.resources.load_path(files("kmock._internal") / "resources.json.gz")  # type: ignore[arg-type]
    return emulator


def _kubectl(url: str, folder: str, *command: str) -> subprocess.CompletedProcess[str]:
    """Runs kubectl with a configuration that knows this server only."""
    kubeconfig = Path(folder) / "kubeconfig"
    kubeconfig.write_text("apiVersion: v1\nkind: Config\n", encoding="utf-8")
    arguments = ["kubectl", "--server", url, "--kubeconfig", str(kubeconfig)]
    return subprocess.run(
        [*arguments, "--cache-dir", f"{folder}/cache", *command],
        capture_output=True,
        text=True,
        check=False,
    )


def _key(of: dict[str, Any]) -> tuple[str, str, str]:
    meta = of["metadata"]
    return of["kind"], meta.get("namespace", ""), meta["name"]


def _whole(rendered: Rendered, what: str, said: str) -> Finding:
    return Finding(rendered.file, "(all)", what, "refused", said.strip()[:500])
