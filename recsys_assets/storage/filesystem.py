"""Files behind a URL: `file://` and `s3://` through one interface, pyarrow's.

S3 endpoints, regions and credentials come from the usual AWS environment (`AWS_ENDPOINT_URL`,
`AWS_REGION`, a profile or an IAM role), as for every other AWS client.
"""

import os
import shutil
import uuid
from functools import lru_cache
from pathlib import Path
from urllib.parse import unquote, urlsplit

from pyarrow import fs


@lru_cache(maxsize=8)
def _s3() -> fs.S3FileSystem:
    endpoint = urlsplit(os.environ.get("AWS_ENDPOINT_URL", ""))
    options = {"scheme": endpoint.scheme, "endpoint_override": endpoint.netloc}
    return fs.S3FileSystem(**(options if endpoint.netloc else {}))


def open_url(url: str) -> tuple[fs.FileSystem, str]:
    """The file system of a URL and the path within it.

    Raises:
        ValueError: the scheme is neither file nor s3.
    """
    parts = urlsplit(url)
    if parts.scheme == "file":
        return fs.LocalFileSystem(), unquote(parts.path)
    if parts.scheme == "s3":
        return _s3(), f"{parts.netloc}{parts.path}"
    raise ValueError(f"storage URL {url!r}: the scheme must be file:// or s3://")


def write_atomically(url: str, data: bytes) -> None:
    """Replaces one object as a whole: readers see the old bytes or the new ones, never a part.

    On S3 an upload becomes visible when it completes. Locally the bytes are written and synced
    beside the target, then renamed over it.
    """
    filesystem, path = open_url(url)
    if not isinstance(filesystem, fs.LocalFileSystem):
        with filesystem.open_output_stream(path) as stream:
            stream.write(data)
        return
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    staging = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
    try:
        with staging.open("wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        staging.replace(target)
    finally:
        staging.unlink(missing_ok=True)


def read_bytes(url: str) -> bytes | None:
    """The object's bytes, or None where there is no such object."""
    filesystem, path = open_url(url)
    try:
        with filesystem.open_input_stream(path) as stream:
            return stream.read()
    except FileNotFoundError:
        return None


def children(url: str) -> list[str]:
    """Names of what lies directly in a folder, sorted; nothing if there is no such folder."""
    filesystem, path = open_url(url)
    selector = fs.FileSelector(path, allow_not_found=True)
    return sorted(info.base_name for info in filesystem.get_file_info(selector))


def exists(url: str) -> bool:
    """Whether an object or a folder is there."""
    filesystem, path = open_url(url)
    return filesystem.get_file_info(path).type != fs.FileType.NotFound


def upload_folder(source: Path, url: str) -> None:
    """Copies a local folder to a URL. Not atomic: callers make it visible by a pointer."""
    filesystem, path = open_url(url)
    if isinstance(filesystem, fs.LocalFileSystem):
        shutil.copytree(source, path)
    else:
        fs.copy_files(str(source), path, fs.LocalFileSystem(), filesystem)


def download_folder(url: str, target: Path) -> None:
    """Copies the folder at a URL into a new local folder, which appears as a whole or not at all.

    Raises:
        FileNotFoundError: there is no such folder.
    """
    filesystem, path = open_url(url)
    staging = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
    staging.mkdir(parents=True)
    try:
        fs.copy_files(path, str(staging), filesystem, fs.LocalFileSystem())
        if not target.exists():
            staging.rename(target)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
