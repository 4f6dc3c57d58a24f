"""Who may call the services: a bearer token, or whoever reaches the loopback interface."""

import hmac
from ipaddress import ip_address

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

API = "/v1/"
_SCHEME = "bearer"


class UnprotectedBind(ValueError):
    """A service would answer to everybody on the network; the message says what to do."""


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
    """Middleware that answers 401 to calls below `/v1/` without the token.

    Health and metrics stay open, as kubelet and Prometheus have no token. The comparison takes
    the same time wherever a wrong token differs.
    """

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app = app
        self._token = token.encode()

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
        known = hmac.compare_digest(given.strip().encode("latin-1"), self._token)
        return scheme.lower() == _SCHEME and known


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
