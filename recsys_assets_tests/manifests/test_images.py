import os
import shutil
import subprocess
from pathlib import Path

import pytest

from recsys_assets.settings import REPOSITORY
from tools.manifests.dockerfile import Dockerfile, Ignored
from tools.manifests.images import FOLDER, findings

GOOD = """
ARG BASE=docker.io/library/python:3.11.14-slim-bookworm
FROM ${BASE} AS build
RUN --mount=type=bind,source=requirements/images,target=/requirements \\
    uv pip sync --require-hashes /requirements/serving.txt
COPY code /opt/code

# what runs
FROM ${BASE} AS image
LABEL org.opencontainers.image.title="a" org.opencontainers.image.description="b" \\
      org.opencontainers.image.version="1" org.opencontainers.image.revision="c" \\
      org.opencontainers.image.licenses="d"
COPY --from=build /opt/code /opt/code
USER 10001:10001
HEALTHCHECK CMD ["python3", "-c", "from recsys_assets.triton.client import is_live"]
CMD ["python3", "-m", "recsys_assets.cli"]
"""


SERVING = "".join(
    f"{name} \\\n    --hash=sha256:0\n"
    for name in (
        "boto3==1",
        "click==1",
        "faiss-cpu==1",
        "mmh3==1",
        "numpy==1.23.5",
        "onnxruntime==1",
        "prometheus-client==1",
        "psutil==1",
        "redis==1",
    )
)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository of one image without a finding."""
    for folder in (FOLDER / "image", Path("code"), Path("requirements/images"), Path("scripts")):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / FOLDER / "image/Dockerfile").write_text(GOOD)
    (tmp_path / ".dockerignore").write_text("*\n!code\n!requirements\n")
    (tmp_path / "requirements/images/serving.txt").write_text(SERVING)
    (tmp_path / "requirements/models.txt").write_text("numpy==1.23.5\n")
    shutil.copyfile(REPOSITORY / "requirements/uv.txt", tmp_path / "requirements/uv.txt")
    return tmp_path


def broken(repository: Path, old: str, new: str) -> list[str]:
    path = repository / FOLDER / "image/Dockerfile"
    assert old in GOOD
    path.write_text(GOOD.replace(old, new))
    return [str(finding) for finding in findings(repository)]


def test_the_images_of_this_repository_have_no_finding() -> None:
    assert findings() == []
    images = {path.parent.name for path in (REPOSITORY / FOLDER).glob("*/Dockerfile")}
    assert images == {"orchestration", "serving", "training"}


def test_a_good_dockerfile_has_no_finding(repository: Path) -> None:
    assert findings(repository) == []


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("COPY code", "COPY cod", "image/Dockerfile: line 6: source='cod': it does not exist"),
        ("COPY code", "COPY scripts", "source='scripts': let it into the context in .dockerignore"),
        (
            "source=requirements/images",
            "source=scripts",
            "source='scripts': let it into the context",
        ),
        (":3.11.14-slim-bookworm", "", "python': pin it to a tag or digest"),
        (":3.11.14-slim-bookworm", ":latest", "python:latest': pin it"),
        ("USER 10001:10001", "USER 0", "USER='image': end as a user with a number other than 0"),
        ("USER 10001:10001", "USER root", "end as a user"),
        ("USER 10001:10001\n", "", "end as a user"),
        ("HEALTHCHECK CMD", "HEALTHCHECK NONE\n#", "HEALTHCHECK='image': give it one"),
        ("image.title", "image.name", "add org.opencontainers.image.title"),
        (
            "/serving.txt",
            "/none.txt",
            "requirements='none.txt': requirements/images has no such file",
        ),
        (
            "recsys_assets.cli",
            "recsys_assets.clib",
            "-m='recsys_assets.clib': there is no such module",
        ),
        (
            "import is_live",
            "import is_dead",
            "recsys_assets.triton.client.is_dead': there is no such name",
        ),
        (
            "USER 10001",
            "RUN pip install x\nUSER 10001",
            "RUN='pip': it belongs into a stage before image",
        ),
        (
            "FROM ${BASE} AS build",
            "FROM ghcr.io/a/uv:0.1 AS build",
            "requirements/uv.txt has uv",
        ),
        ("FROM ${BASE} AS build", "FROM apache/spark:4.0.0-x AS build", "pyspark is 4.3"),
    ],
)
def test_a_broken_dockerfile(repository: Path, old: str, new: str, message: str) -> None:
    found = broken(repository, old, new)
    assert any(message in finding for finding in found), found


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (SERVING + "a==1\n", "serving.txt='a': it has no hash"),
        ("--index-url https://somewhere\n" + SERVING, "it must name no index and no host"),
        (
            SERVING + "tensorflow==2.12.0 --hash=sha256:0\n",
            "'tensorflow': it must not be in this image",
        ),
        (SERVING.replace("click==1", "b==1"), "serving.txt='click': it is missing"),
        (SERVING.replace("1.23.5", "2.0.0"), "numpy 2.0.0': models.txt has 1.23.5: `make lock`"),
    ],
)
def test_broken_requirements(repository: Path, text: str, message: str) -> None:
    (repository / "requirements/images/serving.txt").write_text(text)
    assert any(message in str(finding) for finding in findings(repository))


def test_the_hadoop_of_spark_and_of_its_s3_jars_must_be_equal(repository: Path) -> None:
    (repository / FOLDER / "image/hadoop-aws.pom.xml").write_text("<version>3.3.4</version>")
    assert any("pyspark has Hadoop 3." in str(found) for found in findings(repository))


def test_only_stages_that_nothing_is_made_from_are_images() -> None:
    dockerfile = Dockerfile.read(REPOSITORY / FOLDER / "orchestration/Dockerfile")
    assert [stage.name for stage in dockerfile.images] == ["spark", "orchestration"]


@pytest.mark.parametrize(
    ("path", "ignored"),
    [
        ("recsys_assets", False),
        ("recsys_assets/cli.py", False),
        ("recsys_assets/rollout/__pycache__", True),
        ("requirements/images/serving.txt", False),
        ("requirements/models.txt", True),
        ("k8s/images/orchestration/hadoop-aws.pom.xml", False),
        ("k8s/base", True),
        (".git", True),
        (".venvs/models", True),
        ("var", True),
        ("recsys_assets_tests", True),
    ],
)
def test_what_the_context_holds(path: str, ignored: bool) -> None:
    assert (path in Ignored((REPOSITORY / ".dockerignore").read_text())) is ignored


def _told(tmp_path: Path, *options: str) -> list[str]:
    """What a build of images tells Docker."""
    docker = tmp_path / "docker"
    docker.write_text(
        '#!/bin/sh\nif [ "$2" = imagetools ]; then echo sha256:abc; else echo "$@"; fi\n'
    )
    docker.chmod(0o755)
    path = f"{tmp_path}:{os.environ['PATH']}"
    script = str(REPOSITORY / FOLDER / "build")
    return subprocess.run(
        [script, "registry.example.com/shop", "7", *options],
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()


def _tags(told: list[str]) -> list[str]:
    return [line.split("--tag ")[1].split()[0] for line in told]


def test_a_build_pins_each_base_to_a_digest(tmp_path: Path) -> None:
    told = _told(tmp_path, "--push")
    assert _tags(told) == [
        f"registry.example.com/shop/recsys-{name}:7"
        for name in ("orchestration", "spark", "training", "serving")
    ]
    serving = told[-1]
    assert "TRITON_IMAGE=nvcr.io/nvidia/tritonserver:24.10-py3@sha256:abc" in serving
    assert "--provenance=mode=max --sbom=true" in serving
    assert "VERSION=0.2.0" in serving


def test_the_serving_image_is_built_for_gpus_if_asked_for(tmp_path: Path) -> None:
    *_, serving, gpu = _told(tmp_path, "--gpu")
    assert _tags([serving, gpu]) == [
        f"registry.example.com/shop/recsys-serving:{tag}" for tag in ("7", "7-gpu")
    ]
    assert "REQUIREMENTS" not in serving
    assert "REQUIREMENTS=serving-gpu" in gpu


def test_an_option_that_is_not_known_builds_nothing(tmp_path: Path) -> None:
    with pytest.raises(subprocess.CalledProcessError) as refused:
        _told(tmp_path, "--publish")
    assert (refused.value.returncode, refused.value.stdout) == (2, "")
