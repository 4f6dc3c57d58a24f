"""Writes requirements/sizes.txt: what each pin of `scripts/setup` downloads, in bytes.

Run by `scripts/lock` in the orchestration environment. uv says sizes only in the format pylock.
"""

import subprocess
import tomllib
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import unquote

from packaging.tags import Tag, sys_tags
from packaging.utils import parse_wheel_filename

from tools.setup.distributions import canonical
from tools.setup.environments import UV
from tools.setup.locks import SIZES, lock

LOCKS = (
    *("uv", "orchestration", "console", "checks", "manifests", "test", "docs"),
    *("models", "packaged-data", "image-encoder", "k8s-tools"),
)


def main() -> None:
    """Writes the table."""
    size = {pin: bytes_ for name in LOCKS for pin, bytes_ in _sizes(lock(name)).items()}
    table = "".join(f"{pin} {size[pin]}\n" for pin in sorted(size))
    SIZES.write_text(table, encoding="utf-8")


def _sizes(file: Path) -> dict[str, int]:
    with TemporaryDirectory() as folder:
        written = Path(folder) / "pylock.toml"
        subprocess.run(
            [
                *(UV, "pip", "compile", "--quiet", "--no-deps", "--python-version", "3.11"),
                *("--python-platform", "x86_64-manylinux_2_35", file, "--output-file", written),
            ],
            check=True,
        )
        packages = tomllib.loads(written.read_text(encoding="utf-8"))["packages"]
    rank = {tag: place for place, tag in enumerate(sys_tags())}
    return {f"{canonical(each['name'])}=={each['version']}": _size(each, rank) for each in packages}


def _size(package: dict[str, Any], rank: dict[Tag, int]) -> int:
    """Of the wheel that uv takes here, or of the sources where there is none."""
    fitting = []
    for wheel in package.get("wheels", []):
        tags = parse_wheel_filename(unquote(wheel["url"].rsplit("/", 1)[1]))[3]
        places = [rank[tag] for tag in tags if tag in rank]
        if places:
            fitting.append((min(places), int(wheel["size"])))
    return min(fitting)[1] if fitting else int(package["sdist"]["size"])


if __name__ == "__main__":
    main()
