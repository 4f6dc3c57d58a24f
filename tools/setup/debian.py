"""What comes as Debian packages: Java, and what is only unpacked."""

import re
import shlex
import shutil
import subprocess
import time
from pathlib import Path

from tools.setup.commands import Commands, is_root, say
from tools.setup.failure import Failure

_JAVA = "openjdk-17-jre-headless"
_PATIENCE = {
    "Acquire::Retries": "8",
    "Acquire::http::Timeout": "180",
    "Acquire::https::Timeout": "180",
    "DPkg::Lock::Timeout": "600",
}
PROGRAMS = {
    "prometheus": ("promtool", "prometheus"),
    "prometheus-alertmanager": ("amtool", "prometheus-alertmanager"),
    "libfaketime": (),  # a library, which is loaded from where it is unpacked
    "haproxy": ("haproxy",),
}
# What a program is linked to and a small system lacks: unpacked with it.
_LIBRARIES = {"haproxy": ("liblua5.3-0", "libopentracing-c-wrapper0", "libopentracing1")}
_LOCK_TRIES = 60
# Debian's Alertmanager looks for its templates nowhere else.
_TEMPLATES = Path("/usr/share/prometheus/alertmanager")


def install_java(commands: Commands) -> None:
    """Installs Java for Spark, unless one that fits is there."""
    if _java_fits():
        return
    started = time.monotonic()
    say(f"== Java 17 for Spark: {_JAVA}")
    if not is_root() or not shutil.which("apt-get"):
        raise Failure(
            "Java 17 is missing", f"run `sudo apt-get install -y {_JAVA}`, then try again"
        )
    _update(commands)
    install = ("install", "-y", "-qq", "--no-install-recommends", _JAVA)
    _say_size(commands, *install)
    _apt(commands, "installing Java", *install)
    _done(started)


def unpack(commands: Commands, package: str, folder: Path, programs: Path) -> None:
    """Unpacks a package beside the environments (installed, its service would run).

    Args:
        commands: runs them.
        package: name of the Debian package.
        folder: where it is unpacked; it appears whole or not at all.
        programs: folder that gets links to its programs.
    """
    names, packages = PROGRAMS[package], (package, *_LIBRARIES.get(package, ()))
    if not folder.exists():
        started = time.monotonic()
        say(f"== {' for '.join([package, *names[:1]])}")
        if not shutil.which("apt-get"):
            remedy = f"install {package} so that `{names[0]}` runs" if names else "use Debian"
            raise Failure(f"there is no apt-get to unpack {package} with", remedy)
        if is_root():
            _update(commands)
        new = folder.with_name(f"{folder.name}.new").absolute()
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir(parents=True)
        _say_size(commands, "download", *packages)
        _apt(commands, f"downloading {package}", "download", "-qq", *packages, folder=new)
        for file in sorted(new.glob("*.deb")):
            commands.run(f"unpacking {file.name}", "dpkg-deb", "-x", file, new)
            file.unlink()
        new.rename(folder)
        _done(started)
    for name in names:
        program = next(folder.glob(f"usr/*bin/{name}")).absolute()
        link = programs / name
        if not link.exists():
            link.unlink(missing_ok=True)
            link.symlink_to(program)


def install_templates(folder: Path) -> None:
    """Copies Alertmanager's templates to where it looks for them."""
    files = [folder / str(_TEMPLATES)[1:] / name for name in ("default.tmpl", "email.tmpl")]
    if all((_TEMPLATES / file.name).exists() for file in files):
        return
    if not is_root():
        copy = shlex.join(["install", "-D", "-m", "644", "-t", str(_TEMPLATES)])
        names = shlex.join(str(file.absolute()) for file in files)
        raise Failure("templates of Alertmanager are missing", f"run `sudo {copy} {names}`")
    _TEMPLATES.mkdir(parents=True, exist_ok=True)
    for file in files:
        shutil.copyfile(file, _TEMPLATES / file.name)


def patience(configured: str) -> list[str]:
    """Options of apt-get, where its configuration (`apt-config dump`) says nothing."""
    options = []
    for name, value in _PATIENCE.items():
        if not re.search(rf'^{name} "[^"]', configured, re.MULTILINE | re.IGNORECASE):
            options += ["-o", f"{name}={value}"]
    return options


def _java_fits() -> bool:  # PySpark 4 needs Java 17 or 21 with the vector module
    java = shutil.which("java")
    if not java:
        return False
    run = {"capture_output": True, "text": True, "check": False}
    version = subprocess.run([java, "-version"], **run).stderr  # type: ignore[call-overload]
    modules = subprocess.run([java, "--list-modules"], **run).stdout  # type: ignore[call-overload]
    return bool(re.search(r'version "(17|21)\.', version)) and "jdk.incubator.vector" in modules


def _update(commands: Commands) -> None:
    """Reads the lists of packages; another apt may hold them for a while."""
    for attempt in range(_LOCK_TRIES):
        try:
            _apt(commands, "reading Debian's lists of packages", "update", "-qq")
        except Failure as failure:
            if "another apt" not in str(failure) or attempt == _LOCK_TRIES - 1:
                raise
            if attempt == 0:
                say("   another apt is at work: waiting for it")
            time.sleep(5)
        else:
            return


def _apt(commands: Commands, what: str, *arguments: str, folder: Path | None = None) -> str:
    configured = subprocess.run(
        ["apt-config", "dump"], capture_output=True, text=True, check=False
    ).stdout
    apt = ("env", "DEBIAN_FRONTEND=noninteractive", "apt-get", *patience(configured))
    return commands.run(what, *apt, *arguments, folder=folder)


def _say_size(commands: Commands, *arguments: str) -> None:
    listed = _apt(commands, "asking apt for sizes", "--print-uris", *arguments)
    size = sum(int(number) for number in re.findall(r"^'[^']+' \S+ (\d+)", listed, re.MULTILINE))
    say(f"   {size / 1e6:,.0f} MB to download")


def _done(started: float) -> None:
    say(f"   done in {time.monotonic() - started:.0f} s")
