"""The serving layout of a public case study, with our models and our data: a peer to measure.

    M. U. Momoh, "Deploying a multistage multimodal recommender system on Amazon Elastic
    Kubernetes Service", 2026, and its repository MustaphaU/
    Multistage-Recommender-System-on-Amazon-EKS-with-NVIDIA-Merlin

Its Triton ensemble has fourteen models, one instance each: context defaults; user lookup in
Feast; transforms of user and context; query tower; 300 nearest items; Bloom filter of seen items;
lookup of every candidate in Feast; transform of items; embedding lookup; unrolling to rows; DLRM;
softmax sampling; item ids. Only the transform of the context batches. The item lookup is either
live (layout a) or a cache of all item rows in the process (layout b). `repository/` holds the
same fourteen, in that order; each computes with the plain modules that ours computes with.

Where the two could differ, the peer is favoured: the query tower and the DLRM run in onnxruntime
rather than TensorFlow, transforms are ours rather than NVTabular's, Feast's registry is never
read again, nothing is written to a log on the way, the 100 best candidates go through the DLRM
rather than all that are left of 300, and no stage after the lookup handles more. What it shares
with ours and the case study lacks: user features by the dozen, and texts of 384 dimensions.
"""

import os
import shutil
import sys
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from string import Template

from benchmarks.serving.layouts import Running
from benchmarks.serving.peers.columns import LookupColumns
from benchmarks.serving.peers.lookup import Lookup
from benchmarks.serving.peers.options import Options
from benchmarks.serving.peers.release import promoted_version
from recsys_assets.features.feature_store import FEATURE_REPO, configuration_variables
from recsys_assets.runtime.processes import Daemon, ServiceError, free_addresses
from recsys_assets.runtime.waiting import WaitedTooLong
from recsys_assets.services.valkey import Valkey
from recsys_assets.settings import Settings
from recsys_assets.triton.client import MODEL, is_late
from recsys_assets.triton.repository import CONFIG
from recsys_assets.triton.server import Addresses, TritonServer

OPTIONS_FOLDER = "case_study"  # in the folder that a peer is given
SOURCES = Path(__file__).parent / "repository"
_VERSION = "1"
_USERS, _ITEMS = "feast_user_lookup", "feast_item_lookup"


@contextmanager
def case_study(settings: Settings, cached: bool, folder: Path) -> Iterator[Running]:
    """Serves the promoted release in the case study's layout, from a Triton of its own.

    Users, items and filters are read from the online store of the settings.

    Args:
        settings: of the deployment whose release is promoted.
        cached: whether item rows are cached (layout b) or looked up live (layout a).
        folder: `case_study/` in it is for everything that the peer writes; what an earlier one
            has left there is stopped and removed.

    Raises:
        ServiceError: nothing is promoted, or a process does not start.
    """
    folder = folder.resolve() / OPTIONS_FOLDER
    _clear(settings, folder)
    options = _options(settings, cached)
    _render(settings, options, folder)
    valkey = Valkey.of(settings).daemon.pid
    processes = {} if valkey is None else {"valkey": valkey}
    with ExitStack() as stack:
        for name, (listens_at, columns) in _lookups(options).items():
            daemon = _daemon(folder, name)
            stack.callback(daemon.stop)
            processes[name] = daemon.start(*_lookup_process(folder, listens_at, columns))
        triton = _triton(settings, folder)
        stack.callback(triton.stop)
        processes["tritonserver"] = triton.start()
        for name, (listens_at, _) in _lookups(options).items():
            _daemon(folder, name).wait_until(partial(_listens, listens_at), triton.wait_seconds)
        address = str(triton.addresses.grpc)
        _load(address, triton.wait_seconds)
        yield Running(address, MODEL, processes, str(triton.addresses.metrics))


def _options(settings: Settings, cached: bool) -> Options:
    version = promoted_version(settings)
    name = f"recsys-{uuid.uuid4().hex}"
    item_socket = "" if cached else f"{name}-item"
    return Options(str(version.folder), version.release, f"{name}-user", item_socket)


def _lookups(options: Options) -> dict[str, tuple[str, LookupColumns]]:
    """Socket and columns of each lookup in Feast, by the name of its stage."""
    lookups = {_USERS: (options.user_socket, LookupColumns.of_users(options))}
    if options.item_socket:
        lookups[_ITEMS] = (options.item_socket, LookupColumns.of_items(options))
    return lookups


def _clear(settings: Settings, folder: Path) -> None:
    """Stops what a killed run has left, by its pid files, and removes its files."""
    _triton(settings, folder).stop()
    for name in (_USERS, _ITEMS):
        _daemon(folder, name).stop()
    shutil.rmtree(folder, ignore_errors=True)


def _render(settings: Settings, options: Options, folder: Path) -> None:
    """The model repository, the stages' options, and Feast's configuration."""
    for config in SOURCES.glob(f"*/{CONFIG}"):
        target = folder / "models" / config.parent.name
        (target / _VERSION).mkdir(parents=True)
        shutil.copyfile(config, target / CONFIG)
        model = config.with_name("model.py")
        if model.exists():
            shutil.copyfile(model, target / _VERSION / model.name)
    options.save(folder)
    template = Template((FEATURE_REPO / "feature_store.yaml").read_text(encoding="utf-8"))
    text = template.safe_substitute(configuration_variables(settings))
    (folder / "feature_store.yaml").write_text(text, encoding="utf-8")


def _triton(settings: Settings, folder: Path) -> TritonServer:
    http, grpc, metrics = free_addresses(3)
    return replace(
        TritonServer.of(settings),
        folder=folder / "triton",
        repository=folder / "models",
        addresses=Addresses(http, grpc, metrics),
    )


def _daemon(folder: Path, name: str) -> Daemon:
    return Daemon(name, folder / f"{name}.pid", folder / f"{name}.log")


def _lookup_process(
    folder: Path, listens_at: str, columns: LookupColumns
) -> tuple[list[str], dict[str, str]]:
    """Command and environment of a process that looks features up in Feast."""
    command = [
        *(sys.executable, "-W", "ignore", "-m", "benchmarks.serving.peers.feast_server"),
        *(str(folder / "feature_store.yaml"), listens_at, "--key", columns.key),
        *("--texts", *columns.references(columns.texts)),
        *("--numbers", *columns.references(columns.numbers)),
    ]
    return command, dict(os.environ)


def _listens(name: str) -> bool:
    try:
        Lookup(name, numbers=0).close()
    except ConnectionError:
        return False
    return True


def _load(grpc_address: str, seconds: float) -> None:
    """Loads the ensemble, which brings its members with it."""
    import tritonclient.grpc as grpc
    from tritonclient.utils import InferenceServerException

    with grpc.InferenceServerClient(grpc_address) as client:
        try:
            client.load_model(MODEL, client_timeout=seconds)
        except InferenceServerException as error:
            cause = WaitedTooLong("Triton", seconds) if is_late(error) else error.message()
            raise ServiceError(f"the peer cannot be served: {cause}") from error
