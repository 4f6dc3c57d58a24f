"""Files behind a URL: `file://` and `s3://` through one interface.

Whatever S3 does not answer or refuses is one error, `StorageUnavailable`, after retries; see
`s3.py`. What is not there stays a `FileNotFoundError`.
"""

import errno
import os
import shutil
import tempfile
import uuid
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from stat import S_ISREG
from urllib.parse import quote, unquote, urlsplit

import pyarrow as pa
from pyarrow import fs

from recsys_assets.storage import local, s3, s3_objects, s3_upload
from recsys_assets.storage.s3_objects import ObjectFile

_NO_SUCH_FILE = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.EACCES}


def local_path(url: str) -> Path | None:
    """The path of a `file://` URL, None for an object store.

    Raises:
        ValueError: the scheme is neither file nor s3, or a path is cut by a bare `#` or `?`.
    """
    parts = urlsplit(url)
    if parts.scheme == "file":
        if parts.query or parts.fragment:
            raise ValueError(f"storage URL {url!r}: write # as %23, ? as %3F and % as %25")
        return Path(unquote(parts.path))
    if parts.scheme == "s3":
        return None
    raise ValueError(f"storage URL {url!r}: the scheme must be file:// or s3://")


def below(url: str, path: str) -> str:
    """The URL of what lies at a relative path in a folder, whatever the path's characters.

    A `file://` URL holds them percent-encoded; what follows the bucket of an `s3://` URL is the
    key as it is.
    """
    return f"{url}/{path if local_path(url) is None else quote(path)}"


def open_url(url: str) -> tuple[fs.FileSystem, str]:
    """The file system of a URL and the path within it, for engines that read by themselves.

    Raises:
        ValueError: the scheme is neither file nor s3.
    """
    path = local_path(url)
    if path is not None:
        return fs.LocalFileSystem(), str(path)
    return s3.columnar(), "/".join(s3.bucket_and_key(url))


def write_atomically(url: str, data: bytes) -> None:
    """Replaces one object as a whole: readers see the old bytes or the new ones, never a part.

    On S3 an upload becomes visible when it completes. Locally the bytes are written and synced
    beside the target, then renamed over it.
    """
    path = local_path(url)
    if path is None:
        s3_objects.put(url, data)
    else:
        with local.replacing(path) as staging:
            staging.write_bytes(data)


@contextmanager
def replacing(url: str) -> Iterator[Path]:
    """A local file to be written; on leaving without an error it replaces the object as a whole.

    For what is too large to be held in memory once more.
    """
    path = local_path(url)
    if path is not None:
        with local.replacing(path) as staging:
            yield staging
        return
    with tempfile.TemporaryDirectory(prefix="upload-") as folder:
        staging = Path(folder) / "object"
        yield staging
        s3_upload.upload_file(staging, url)


def read_versioned(url: str) -> tuple[bytes, str] | None:
    """An object's bytes and what tells this version of it from others; None if there is none."""
    path = local_path(url)
    try:
        if path is None:
            data, answer = s3_objects.get(url)
            return data, answer["ETag"]
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    return data, local.version_of(data)


def write_if_unchanged(url: str, data: bytes, version: str | None) -> bool:
    """Writes an object if nobody has since it was read; whether that was so.

    Of several writers that have read the same version one succeeds. Each must write bytes of its
    own, such as a name of its own in them, as a lost answer is made up for by comparing them.

    Args:
        url: of the object.
        data: its new bytes.
        version: of `read_versioned`; None if there must be no such object.
    """
    path = local_path(url)
    if path is None:
        return s3_objects.put_if(url, data, version)
    return local.write_if(path, data, version)


def write_if_absent(url: str, data: bytes) -> bool:
    """Writes an object unless there is one; whether that was so. See `write_if_unchanged`."""
    return write_if_unchanged(url, data, None)


def read_bytes(url: str) -> bytes | None:
    """The object's bytes, or None where there is no such object."""
    found = read_versioned(url)
    return None if found is None else found[0]


def open_file(url: str) -> pa.NativeFile:
    """An object for reading at random, all of it of one version.

    Raises:
        FileNotFoundError: there is no such object.
    """
    path = local_path(url)
    return pa.PythonFile(ObjectFile(url), mode="r") if path is None else pa.OSFile(str(path))


def children(url: str) -> list[str]:
    """Names of what lies directly in a folder, sorted; nothing if there is no such folder."""
    path = local_path(url)
    if path is None:
        return sorted(set(s3_objects.names(url)) - {""})
    return sorted(child.name for child in path.iterdir()) if path.is_dir() else []


def files_below(url: str) -> list[str]:
    """Paths of all files below a folder, sorted; nothing if there is no such folder."""
    path = local_path(url)
    if path is None:
        return sorted(name for name, _ in s3_objects.listing(url) if name and name[-1] != "/")
    found = (
        Path(folder, name) for folder, _, names in os.walk(path, followlinks=True) for name in names
    )
    return sorted(file.relative_to(path).as_posix() for file in found)


def folders_with(url: str, name: str) -> list[str]:
    """Folders directly in a folder that hold an object of that name, sorted.

    On S3 that is one listing of everything below, a request per 1,000 objects, however many
    folders there are.
    """
    path = local_path(url)
    if path is not None:
        return sorted(found.parent.name for found in path.glob(f"*/{name}"))
    found = (key.split("/") for key, _ in s3_objects.listing(url))
    return sorted(parts[0] for parts in found if parts[1:] == [name])


def versions_in_folders(url: str, name: str) -> dict[str, str]:
    """Folders directly in a folder that hold an object of that name, with what tells its version.

    That changes whenever the object is replaced by another, and is had without reading any.
    """
    path = local_path(url)
    if path is None:
        found = ((key.split("/"), version) for key, version in s3_objects.versions(url))
        return {parts[0]: version for parts, version in found if parts[1:] == [name]}
    stats = {file.parent.name: file.stat() for file in path.glob(f"*/{name}")}
    return {folder: f"{stat.st_mtime_ns}-{stat.st_ino}" for folder, stat in stats.items()}


@dataclass(frozen=True)
class FileState:
    """Bytes of a file, and what changes whenever it is replaced by another."""

    size: int
    version: str


def file_states(url: str, paths: Collection[str]) -> dict[str, FileState]:
    """The state of those files that are in a folder and may be read, without reading any.

    On S3 that is one listing of everything below, a request per 1,000 objects. Locally, a link
    that leads out of the folder leads to nothing.

    Args:
        url: of the folder.
        paths: relative, without `..`.
    """
    root = local_path(url)
    if root is None:
        wanted = set(paths)
        found = s3_objects.states(url) if wanted else ()
        return {key: FileState(size, tag) for key, size, tag in found if key in wanted}
    inside = f"{os.path.realpath(root)}{os.sep}"
    states = ((path, _local_state(root / path, inside)) for path in paths)
    return {path: state for path, state in states if state is not None}


def _local_state(path: Path, inside: str) -> FileState | None:
    try:
        real = Path(os.path.realpath(path))
        found = real.stat()
    except OSError as error:
        if error.errno in _NO_SUCH_FILE:
            return None
        raise
    if not (str(real).startswith(inside) and S_ISREG(found.st_mode)):
        return None
    return FileState(found.st_size, f"{found.st_mtime_ns}-{found.st_ino}")


def exists(url: str) -> bool:
    """Whether an object or a folder is there."""
    path = local_path(url)
    return s3_objects.present(url) if path is None else path.exists()


def upload_folder(source: Path, url: str) -> None:
    """Copies a local folder to a URL. Not atomic: callers make it visible by a pointer."""
    path = local_path(url)
    if path is not None:
        shutil.copytree(source, path)
    else:
        s3_upload.upload_folder(source, url)


def download_folder(url: str, target: Path, sizes: Mapping[str, int] | None = None) -> None:
    """Copies the folder at a URL into a new local folder, which appears as a whole or not at all.

    Args:
        url: of the folder.
        target: the local folder.
        sizes: the files that there must be by relative path, with their bytes, where known.

    Raises:
        FileNotFoundError: there is no such folder, or a file of it is gone.
    """
    path = local_path(url)
    staging = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        if path is None:
            s3_objects.download(url, staging)
        else:
            shutil.copytree(path, staging)
        _require_whole(url, staging, sizes or {})
        _appear(staging, target)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _require_whole(url: str, folder: Path, sizes: Mapping[str, int]) -> None:
    for name, size in sizes.items():
        file = folder / name
        found = file.stat().st_size if file.is_file() else "no"
        if found != size:
            raise FileNotFoundError(
                f"{url}/{name} was written with {size} bytes, but there are {found}: it has been "
                "deleted or replaced by hand; materialize it again"
            )


def _appear(staging: Path, target: Path) -> None:
    try:
        staging.rename(target)
    except OSError:
        if not target.is_dir():  # else another process has brought the same folder meanwhile
            raise
