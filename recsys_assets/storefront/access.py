"""Who may call the services: a bearer token, or whoever reaches the loopback interface.

Several tokens may hold at a time, one a line, and those of a mounted file are read again while the
service runs. So a token is changed without a refused call: the new one is added to the file, every
caller is moved to it, and the old one is taken out.
"""

import hmac
import logging
import time
from collections.abc import Callable
from ipaddress import ip_address
from pathlib import Path

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

API = "/v1/"
_SCHEME = "bearer"
_LOG = logging.getLogger(__name__)
_READ_EVERY_SECONDS = 5.0


class UnprotectedBind(ValueError):
    """A service would answer to everybody on the network; the message says what to do."""


class Tokens:
    """The tokens that let callers in.

    Args:
        given: one a line; at least one.
        file: where they are from, if from a file: it is read again every few seconds. While it
            cannot be read, or holds no token, those that it last held stay valid.
        clock: gives seconds.
    """

    def __init__(
        self, given: str, file: Path | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._valid, self._file, self._clock = _tokens_in(given), file, clock
        self._read_at = clock()

    def know(self, given: bytes) -> bool:
        """Whether this is one of them; takes the same time wherever a wrong one differs."""
        if self._file is not None and self._clock() - self._read_at >= _READ_EVERY_SECONDS:
            self._read(self._file)
        return any(hmac.compare_digest(given, token) for token in self._valid)

    def _read(self, file: Path) -> None:
        self._read_at = self._clock()
        try:
            found = _tokens_in(file.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            _LOG.error("the tokens of callers stay as they were: %s: %s", file, error)
            return
        if found != self._valid:
            _LOG.warning("callers bring one of %d tokens from now on: %s", len(found), file)
        self._valid = found


def require_protection(host: str, token: str | None, no_auth: bool) -> None:
    """Lets a service listen beyond this machine only with a token, or if told to do without.

    Raises:
        UnprotectedBind: neither is the case.
    """
    if token or no_auth or _is_loopback(host):
        return
    raise UnprotectedBind(
        f"--host {host} is reached from other machines: set RECSYS_API_TOKEN, or give --no-auth "
        "where an ingress or a service mesh authenticates callers"
    )


class TokenCheck:
    """Middleware that answers 401 to calls below `/v1/` without one of the tokens.

    Health and metrics stay open, as kubelet and Prometheus have no token.
    """

    def __init__(self, app: ASGIApp, tokens: Tokens) -> None:
        self._app = app
        self._tokens = tokens

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a call, or has it answered."""
        app = self._app
        if scope["type"] == "http" and scope["path"].startswith(API) and not self._knows(scope):
            app = JSONResponse(
                {"detail": "Authorization: send the header `Authorization: Bearer <token>`"},
                401,
                {"WWW-Authenticate": "Bearer"},
            )
        await app(scope, receive, send)

    def _knows(self, scope: Scope) -> bool:
        scheme, _, given = Headers(scope=scope).get("authorization", "").partition(" ")
        return scheme.lower() == _SCHEME and self._tokens.know(given.strip().encode("latin-1"))


def _tokens_in(text: str) -> tuple[bytes, ...]:
    """One a line; other lines are empty."""
    found = tuple(line.strip().encode() for line in text.splitlines() if line.strip())
    if not found:
        raise ValueError("RECSYS_API_TOKEN holds no token: give at least one, one a line")
    return found


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
