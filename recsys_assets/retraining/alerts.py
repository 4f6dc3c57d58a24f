"""Where a person learns what went wrong: a log line, an object in the store, and a webhook if set.

    <store>/alerts/20261122T101112131415Z-run_failed-<run>.json

One object an alert, written whole: processes need not share a disk to raise or to read them, and
a listing says when what was raised.
"""

import json
import logging
import urllib.request
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from http.client import HTTPException
from typing import Any
from urllib.parse import urlsplit

from recsys_assets.storage import Store
from recsys_assets.storage.filesystem import children, read_bytes, write_atomically

_LOG = logging.getLogger("recsys.alerts")
_FOLDER = "alerts"
_MOMENT = "%Y%m%dT%H%M%S%fZ"

RUN_FAILED = "run_failed"
CANDIDATE_REJECTED = "candidate_rejected"


class AlertNotDelivered(RuntimeError):
    """The webhook did not take an alert; it is in the store all the same."""


@dataclass(frozen=True)
class Alert:
    """What happened, to whom it matters now.

    `kind` is "run_failed" or "candidate_rejected", `text` one line for a person, `detail` the
    error or the gate's comparison, `day` the partition or "", `cause` what the run was started for.
    """

    kind: str
    text: str
    detail: str
    job: str
    run_id: str
    day: str
    cause: str


@dataclass(frozen=True)
class AlertHook:
    """Where alerts go: into `store`, and to `url` as a POST each, if it is given."""

    store: Store
    url: str | None
    timeout_seconds: float = 5.0

    def send(self, alert: Alert) -> None:
        """Logs the alert, writes it to the store, and posts it even if that fails.

        Raises:
            OSError: the store did not take it.
            AlertNotDelivered: the webhook refused it or did not answer in time.
        """
        now = datetime.now(UTC)
        record = {"raised_at": now.isoformat(), **asdict(alert)}
        line = json.dumps(record, ensure_ascii=False)
        _LOG.error(line)
        name = f"{now.strftime(_MOMENT)}-{alert.kind}-{alert.run_id}.json"
        try:
            write_atomically(f"{_url(self.store)}/{name}", line.encode())
        finally:
            if self.url is not None:
                self._post(self.url, line)

    def _post(self, url: str, body: str) -> None:
        request = urllib.request.Request(  # noqa: S310 - the settings allow http and https only
            url, body.encode(), {"Content-Type": "application/json"}
        )
        try:
            with urllib.request.urlopen(request, timeout=self.timeout_seconds):  # noqa: S310
                return
        except (OSError, HTTPException) as error:
            host = urlsplit(url).hostname  # the path of a webhook is often its password
            raise AlertNotDelivered(
                f"the webhook at {host} (RECSYS_ALERT_URL) did not take an alert: {error!r}; "
                f"it is below {_url(self.store)}"
            ) from error


@dataclass(frozen=True)
class Raised:
    """An alert as the listing shows it: when it was raised, what kind it is, and of which run."""

    at: datetime
    kind: str
    run_id: str
    name: str


def raised_alerts(store: Store) -> list[Raised]:
    """All alerts, oldest first, from one listing."""
    return [_parsed(name) for name in children(_url(store)) if name.endswith(".json")]


def read_alert(store: Store, raised: Raised) -> dict[str, Any]:
    """What `Alert` holds, and `raised_at`, ISO 8601.

    Raises:
        FileNotFoundError: it has been deleted.
    """
    url = f"{_url(store)}/{raised.name}"
    data = read_bytes(url)
    if data is None:
        raise FileNotFoundError(f"the alert {url} has been deleted")
    return dict(json.loads(data))


def _parsed(name: str) -> Raised:
    moment, kind, run_id = name.removesuffix(".json").split("-", 2)
    return Raised(datetime.strptime(moment, _MOMENT).replace(tzinfo=UTC), kind, run_id, name)


def _url(store: Store) -> str:
    return f"{store.url.rstrip('/')}/{_FOLDER}"
