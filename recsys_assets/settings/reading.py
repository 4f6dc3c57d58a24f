"""Reads one environment variable each, and says what is wrong with it."""

from collections.abc import Mapping
from datetime import date
from pathlib import Path
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

Environ = Mapping[str, str]

_PREFIX, _FILE = "RECSYS_", "_FILE"
_UNITS = {"Mi": 1 << 20, "Gi": 1 << 30}


class InvalidSetting(ValueError):
    """An environment variable holds a value that cannot be used."""

    def __init__(self, variable: str, value: str, remedy: str) -> None:
        super().__init__(f"{variable}={value!r} cannot be used: {remedy}")


class MissingSettings(InvalidSetting):
    """Environment variables that a deployment cannot do without; all of them are named."""

    def __init__(self, deployment: str, missing: Mapping[str, str]) -> None:
        wanted = "; ".join(f"{variable} ({meaning})" for variable, meaning in missing.items())
        ValueError.__init__(
            self,
            f"RECSYS_DEPLOYMENT={deployment} also needs {wanted}. Set each, or mount a file with "
            "its value and set the variable of that name with _FILE at its end to the path",
        )


def with_mounted(environ: Environ) -> dict[str, str]:
    """The environment with the content of mounted files: `RECSYS_X_FILE` gives `RECSYS_X`.

    Raises:
        InvalidSetting: a file cannot be read or is empty, or both variables are set.
    """
    found = dict(environ)
    for variable, path in environ.items():
        if not (variable.startswith(_PREFIX) and variable.endswith(_FILE) and path):
            continue
        name = variable.removesuffix(_FILE)
        if environ.get(name):
            raise InvalidSetting(variable, path, f"{name} is set as well; unset one of them")
        try:
            value = Path(path).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise InvalidSetting(variable, path, f"the file cannot be read ({error})") from None
        if not value:
            raise InvalidSetting(variable, path, "the file is empty")
        found[name] = value
    return found


def require(environ: Environ, deployment: str, variables: Mapping[str, str]) -> None:
    """Names every variable that is not set, with its meaning.

    Raises:
        MissingSettings: at least one is not.
    """
    missing = {name: meaning for name, meaning in variables.items() if not environ.get(name)}
    if missing:
        raise MissingSettings(deployment, missing)


def choice(environ: Environ, variable: str, allowed: tuple[str, ...], default: str) -> str:
    """One of the allowed values."""
    value = environ.get(variable) or default
    if value not in allowed:
        raise InvalidSetting(variable, value, f"choose one of {', '.join(allowed)}")
    return value


def positive(environ: Environ, variable: str, default: int) -> int:
    """A whole number of at least 1."""
    value = environ.get(variable) or str(default)
    if not value.isdecimal() or int(value) < 1:
        raise InvalidSetting(variable, value, "give a whole number of at least 1")
    return int(value)


def whole(environ: Environ, variable: str, default: int) -> int:
    """A whole number; 0 switches something off."""
    value = environ.get(variable) or str(default)
    if not value.isdecimal():
        raise InvalidSetting(variable, value, "give a whole number; 0 switches it off")
    return int(value)


def quantity(environ: Environ, variable: str, default: str) -> int:
    """Bytes, as Kubernetes writes them: `3Gi`, `512Mi`."""
    value = environ.get(variable) or default
    number, unit = value[:-2], value[-2:]
    if not number.isdecimal() or unit not in _UNITS:
        raise InvalidSetting(variable, value, f"give a number of {' or '.join(_UNITS)}: 3Gi")
    return int(number) * _UNITS[unit]


def k_of_n(environ: Environ, variable: str, default: str) -> tuple[int, int]:
    """Days `k/n`."""
    value = environ.get(variable) or default
    k, _, n = value.partition("/")
    if not (k.isdecimal() and n.isdecimal() and 1 <= int(k) <= int(n)):
        raise InvalidSetting(variable, value, "give k/n days, such as 2/3, with 1 <= k <= n")
    return int(k), int(n)


def url(environ: Environ, variable: str, default: str, schemes: tuple[str, ...]) -> str:
    """A URL of one of the schemes, without a slash at its end."""
    value = (environ.get(variable) or default).rstrip("/")
    parts = urlsplit(value)
    if parts.scheme not in schemes:
        wanted = " or ".join(f"{scheme}://" for scheme in schemes)
        raise InvalidSetting(variable, value, f"give a URL that starts with {wanted}")
    if parts.scheme == "file" and (parts.query or parts.fragment):
        raise InvalidSetting(variable, value, "write # as %23, ? as %3F and % as %25")
    return value


def optional_url(environ: Environ, variable: str, schemes: tuple[str, ...]) -> str | None:
    """The same, or None where the variable is not set."""
    return url(environ, variable, "", schemes) if environ.get(variable) else None


def address(environ: Environ, variable: str, default: str) -> str:
    """`host:port`."""
    value = environ.get(variable) or default
    host, _, port = value.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise InvalidSetting(variable, value, "give host:port, for example 127.0.0.1:8700")
    return value


def time_zone(environ: Environ, variable: str, default: str) -> str:
    """A time zone by its IANA name."""
    value = environ.get(variable) or default
    try:
        ZoneInfo(value)
    except (ZoneInfoNotFoundError, ValueError, OSError):  # OSError: such as that of a continent
        raise InvalidSetting(variable, value, "give an IANA name, such as Europe/Berlin") from None
    return value


def day(environ: Environ, variable: str, default: date | None) -> date | None:
    """A day as YYYY-MM-DD."""
    value = environ.get(variable)
    if not value:
        return default
    try:
        return date.fromisoformat(value)
    except ValueError:
        raise InvalidSetting(variable, value, "give a day as YYYY-MM-DD") from None


def days(environ: Environ, variable: str) -> tuple[date, ...]:
    """Days as YYYY-MM-DD with commas between them, each once and in order."""
    given = (value.strip() for value in environ.get(variable, "").split(","))
    found = (day({variable: value}, variable, None) for value in given)
    return tuple(sorted({one for one in found if one is not None}))
