"""Where a person learns what went wrong: a log line, a file of JSON lines, and a webhook if set."""

import json
import logging
import urllib.request
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from http.client import HTTPException
from pathlib import Path
from urllib.parse import urlsplit

_LOG = logging.getLogger("recsys.alerts")
_FILE = "alerts.jsonl"

RUN_FAILED = "run_failed"
CANDIDATE_REJECTED = "candidate_rejected"


class AlertNotDelivered(RuntimeError):
    """The webhook did not take an alert; it is in the file all the same."""


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
    """Where alerts go: `folder` holds `alerts.jsonl`; `url`, if given, takes each as a POST."""

    folder: Path
    url: str | None
    timeout_seconds: float = 5.0

    @property
    def file(self) -> Path:
        """All alerts so far, one JSON object a line."""
        return self.folder / _FILE

    def send(self, alert: Alert) -> None:
        """Logs the alert, appends it to the file, then posts it to the webhook.

        Raises:
            AlertNotDelivered: the webhook refused it or did not answer in time.
        """
        record = {"raised_at": datetime.now(UTC).isoformat(), **asdict(alert)}
        line = json.dumps(record, ensure_ascii=False)
        _LOG.error(line)
        self.folder.mkdir(parents=True, exist_ok=True)
        with self.file.open("a", encoding="utf-8") as file:
            file.write(line + "\n")
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
                f"it is in {self.file}"
            ) from error
