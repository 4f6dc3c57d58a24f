"""What lies in a store, object by object, and the deletion of it. What may go is decided elsewhere.

On a bucket with versioning a deletion hides an object; a lifecycle rule for noncurrent versions
frees its space (`NoncurrentVersionExpiration`).
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from recsys_assets.storage.filesystem import local_path
from recsys_assets.storage.s3 import StorageUnavailable, bucket_and_key, clear_errors, client

_AT_ONCE = 1_000  # of S3's DeleteObjects


@dataclass(frozen=True)
class Stored:
    """An object, or an empty local folder, whose name ends in `/` as nothing is in it.

    Attributes:
        name: path below the listed store.
        size: bytes.
        modified: when it was written, UTC.
    """

    name: str
    size: int
    modified: datetime


@dataclass(frozen=True)
class Upload:
    """A multipart upload to S3 that has been neither completed nor aborted.

    Attributes:
        name: of the object that it would have made, below the listed store.
        upload_id: S3's.
        size: bytes of the parts that have arrived, which are paid for.
        begun: UTC.
    """

    name: str
    upload_id: str
    size: int
    begun: datetime


def stored(url: str, folder: str) -> list[Stored]:
    """All that lies below a folder of the store at `url`; on S3 a request per 1,000 objects.

    Raises:
        StorageUnavailable: the store cannot be listed.
    """
    root = local_path(url)
    return list(_on_s3(url, folder) if root is None else _on_disk(root, folder))


def delete(url: str, names: Sequence[str]) -> None:
    """Deletes objects of the store at `url`; what is gone already is no error.

    They go in their order on a file system; on S3 by 1,000 a call, within which there is none.

    Raises:
        StorageUnavailable: some could not be deleted; names the first of them.
    """
    root = local_path(url)
    objects = [name for name in names if not name.endswith("/")]
    if root is not None:
        for name in objects:
            (root / name).unlink(missing_ok=True)
        return
    for start in range(0, len(objects), _AT_ONCE):
        _delete_on_s3(url, objects[start : start + _AT_ONCE])


def remove_empty(url: str, folders: Sequence[str]) -> None:
    """Removes folders, and those within, in which nothing is left. Objects stores have none."""
    root = local_path(url)
    if root is None:
        return
    for folder in folders:
        for path, _, _ in os.walk(root / folder, topdown=False):
            with suppress(OSError):  # something is in it, or it has gone already
                Path(path).rmdir()


def uploads(url: str, folder: str) -> list[Upload]:
    """Multipart uploads below a folder that are under way, or were abandoned; none on a disk.

    Raises:
        StorageUnavailable: they cannot be listed.
    """
    if local_path(url) is not None:
        return []
    bucket, prefix = _address(url)
    found = []
    with clear_errors(url):
        paginator = client().get_paginator("list_multipart_uploads")
        for page in paginator.paginate(Bucket=bucket, Prefix=f"{prefix}{folder}/"):
            for each in page.get("Uploads", ()):
                size = _uploaded(bucket, each["Key"], each["UploadId"])
                name = each["Key"].removeprefix(prefix)
                found.append(Upload(name, each["UploadId"], size, each["Initiated"]))
    return found


def abort(url: str, upload: Upload) -> None:
    """Gives up a multipart upload and frees its parts; one that has ended is no error.

    Raises:
        StorageUnavailable: it could not be aborted.
    """
    bucket, prefix = _address(url)
    with clear_errors(url), suppress(client().exceptions.NoSuchUpload):
        client().abort_multipart_upload(
            Bucket=bucket, Key=prefix + upload.name, UploadId=upload.upload_id
        )


def _on_disk(root: Path, folder: str) -> Iterator[Stored]:
    for path, folders, files in os.walk(root / folder):
        below = Path(path).relative_to(root).as_posix()
        names = [f"{below}/{file}" for file in files]
        if not files and not folders:
            names.append(f"{below}/")
        for name in names:
            with suppress(FileNotFoundError):  # such as a temporary file, renamed meanwhile
                found = (root / name).stat()
                modified = datetime.fromtimestamp(found.st_mtime, UTC)
                yield Stored(name, 0 if name.endswith("/") else found.st_size, modified)


def _on_s3(url: str, folder: str) -> Iterator[Stored]:
    bucket, prefix = _address(url)
    with clear_errors(url):
        paginator = client().get_paginator("list_objects_v2")
        for page in paginator.paginate(Bucket=bucket, Prefix=f"{prefix}{folder}/"):
            for each in page.get("Contents", ()):
                name = each["Key"].removeprefix(prefix)
                if not name.endswith("/"):  # folders, as some consoles make them
                    yield Stored(name, each["Size"], each["LastModified"])


def _delete_on_s3(url: str, names: Sequence[str]) -> None:
    bucket, prefix = _address(url)
    keys = [{"Key": prefix + name} for name in names]
    with clear_errors(url):
        answer = client().delete_objects(Bucket=bucket, Delete={"Objects": keys, "Quiet": True})
    for error in answer.get("Errors", ()):
        raise StorageUnavailable(
            f"s3://{bucket}/{error['Key']}",
            "the object could not be deleted",
            "let the IAM policy delete objects of the bucket, and run it again",
            f"{error['Code']}: {error['Message']}",
        )


def _uploaded(bucket: str, key: str, upload_id: str) -> int:
    try:
        pages = (
            client()
            .get_paginator("list_parts")
            .paginate(Bucket=bucket, Key=key, UploadId=upload_id)
        )
        return sum(part["Size"] for page in pages for part in page.get("Parts", ()))
    except client().exceptions.NoSuchUpload:  # completed meanwhile
        return 0


def _address(url: str) -> tuple[str, str]:
    """Bucket, and what all keys of the store begin with."""
    bucket, key = bucket_and_key(url)
    return bucket, f"{key.rstrip('/')}/" if key.rstrip("/") else ""
