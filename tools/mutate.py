"""Would the tests notice? Breaks the product in places drawn by a seed, one at a time.

    python tools/mutate.py --seed 1 --count 20

A mutant turns one comparison, changes one constant, deletes one statement or swallows one
exception (DeMillo, Lipton, Sayward 1978). The tests that stand nearest to it run first, and all
of `make test` only where those pass, so most mutants cost seconds. A mutant that no test notices
shows a rule without a test.

Not drawn, because no test of behaviour could or should notice: texts, log lines, how often a loop
looks (names with SECONDS, EVERY, POLL), options of dataclasses, defaults of hyperparameters,
declarations of types, and what measures or draws (benchmarks, plots, dashboards).

Run it on a clean work tree that nobody edits: files are changed where they lie, and put back.
"""

import argparse
import ast
import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "recsys_assets"
TESTS = ROOT / "recsys_assets_tests"
_LAB = re.compile(
    r"(^|/)(bench_|.*_benchmark|plots?\b|.*_plots?\b|observability/|cluster/capacity)"
)
_UNSEEN = re.compile(r"SECONDS|POLL|EVERY|PAUSE|INTERVAL|TIMEOUT|DPI", re.IGNORECASE)
_OPTIONS = ("indent", "stacklevel", "strict")  # `strict` of zip tells of what cannot happen
_SAYS = re.compile(r"^(log|_LOG|logging|click|context\.log|self\._?log|warnings|print|_say)\b")
_TURNED: dict[type[ast.cmpop], str] = {
    ast.Lt: ">=",
    ast.LtE: ">",
    ast.Gt: "<=",
    ast.GtE: "<",
    ast.Eq: "!=",
    ast.NotEq: "==",
    ast.In: "not in",
    ast.NotIn: "in",
    ast.Is: "is not",
    ast.IsNot: "is",
}
_QUICK_SECONDS, _WHOLE_SECONDS = 1200, 5400  # a mutant may hang; that is noticed too


@dataclass(frozen=True)
class Mutant:
    """One place of one module, and what stands there instead."""

    module: str
    line: int
    kind: str
    before: str
    after: str
    start: int
    end: int


@dataclass(frozen=True)
class Verdict:
    """What became of a mutant: the test that noticed, or none."""

    mutant: Mutant
    noticed_by: str | None
    seconds: float


class _Places(ast.NodeVisitor):
    """Collects the mutants of one module."""

    def __init__(self, module: str, source: str) -> None:
        self.found: list[Mutant] = []
        self._module = module
        self._source = source.encode()
        lines = source.splitlines(keepends=True)
        self._starts = [0]
        for line in lines:
            self._starts.append(self._starts[-1] + len(line.encode()))

    def _place(self, line: int, column: int) -> int:
        return self._starts[line - 1] + column

    def _add(self, node: ast.stmt | ast.expr, kind: str, after: str) -> None:
        start = self._place(node.lineno, node.col_offset)
        end = self._place(node.end_lineno or node.lineno, node.end_col_offset or 0)
        before = self._source[start:end].decode()
        self.found.append(Mutant(self._module, node.lineno, kind, before, after, start, end))

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        for statement in node.body:
            self.visit(statement)

    def visit_Call(self, node: ast.Call) -> None:
        if ast.unparse(node.func) != "parameter":
            self.generic_visit(node)

    def visit_Compare(self, node: ast.Compare) -> None:
        turned = _TURNED[type(node.ops[0])]
        if len(node.ops) == 1:
            left, right = ast.unparse(node.left), ast.unparse(node.comparators[0])
            self._add(node, "comparison turned", f"({left}) {turned} ({right})")
        self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> None:
        if isinstance(node.value, bool):
            self._add(node, "constant changed", str(not node.value))
        elif isinstance(node.value, int | float):
            self._add(node, "constant changed", repr(node.value + 1))

    def visit_Expr(self, node: ast.Expr) -> None:
        if isinstance(node.value, ast.Call) and not _SAYS.match(ast.unparse(node.value)):
            self._add(node, "statement deleted", "pass")
            self.generic_visit(node)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        self._add(node, "statement deleted", "pass")
        self.generic_visit(node)

    def visit_If(self, node: ast.If) -> None:
        if not node.orelse and isinstance(node.body[-1], ast.Return | ast.Continue | ast.Break):
            self._add(node, "statement deleted", "pass")
        if "TYPE_CHECKING" not in ast.unparse(node.test):
            self.generic_visit(node)

    def visit_Raise(self, node: ast.Raise) -> None:
        self._add(node, "exception swallowed", "pass")

    def visit_Assign(self, node: ast.Assign) -> None:
        if not _UNSEEN.search(ast.unparse(node.targets[0])):
            self.visit(node.value)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if node.value is not None and not _UNSEEN.search(ast.unparse(node.target)):
            self.visit(node.value)

    def visit_keyword(self, node: ast.keyword) -> None:
        if not _UNSEEN.search(node.arg or "") and node.arg not in _OPTIONS:
            self.visit(node.value)


def mutants_of(path: Path) -> list[Mutant]:
    """All mutants of a module of the package, in the order of its lines."""
    source = path.read_text()
    places = _Places(path.relative_to(ROOT).as_posix(), source)
    places.visit(ast.parse(source))
    return places.found


def draw(seed: int, count: int) -> list[Mutant]:
    """One mutant in each of `count` modules; the same ones for the same seed and sources."""
    rng = random.Random(seed)  # noqa: S311
    modules = {
        path: found
        for path in sorted(PACKAGE.rglob("*.py"))
        if not _LAB.search(path.relative_to(PACKAGE).as_posix()) and (found := mutants_of(path))
    }
    drawn = []
    for path in rng.sample(list(modules), min(count, len(modules))):
        kind = rng.choice(sorted({mutant.kind for mutant in modules[path]}))
        drawn.append(rng.choice([mutant for mutant in modules[path] if mutant.kind == kind]))
    return drawn


def _nearest(mutant: Mutant) -> list[str]:
    """Test files that mirror the module, what it is a part of or its folder, or import it."""
    module = Path(mutant.module).relative_to(PACKAGE.name)
    words = module.stem.split("_")
    mirrors = [
        TESTS / module.parent / f"test_{'_'.join(words[:count])}.py"
        for count in range(len(words), 0, -1)
    ]
    mirrors.append(TESTS / module.parent.parent / f"test_{module.parent.name}.py")
    name = mutant.module.removesuffix(".py").replace("/", ".").removesuffix(".__init__")
    folder, _, last = name.rpartition(".")
    imports = re.compile(
        rf"(import|from) {re.escape(name)}\b|from {re.escape(folder)} import [^\n]*\b{last}\b"
    )
    users = [path for path in sorted(TESTS.rglob("test_*.py")) if imports.search(path.read_text())]
    found = dict.fromkeys([*mirrors, *users])
    return [path.relative_to(ROOT).as_posix() for path in found if path.exists()]


def _stages(mutant: Mutant, near_only: bool) -> Iterator[tuple[Sequence[str], float]]:
    """What to run, narrowest first, and for how long at most."""
    near = _nearest(mutant)
    if near:
        yield ["pytest", "-x", "-q", "--no-header", "-m", "not slow", *near], _QUICK_SECONDS
    folder = TESTS / Path(mutant.module).relative_to(PACKAGE.name).parent
    if folder != TESTS and folder.exists():
        inside = folder.relative_to(ROOT).as_posix()
        yield ["pytest", "-x", "-q", "--no-header", "-m", "not slow", inside], _QUICK_SECONDS
    if not near_only:
        yield ["make", "test", "OPTIONS=-x -q"], _WHOLE_SECONDS


def _failed_test(command: Sequence[str], seconds: float) -> str | None:
    """Runs tests in a process group of their own; the first that fails, or None."""
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
    )
    try:
        output, _ = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        return "hangs"
    finally:
        with suppress(ProcessLookupError):  # nothing of it outlives a hang or an interrupt
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    if process.returncode == 0:
        return None
    named = re.search(r"^(?:FAILED|ERROR) (\S+)", output, re.MULTILINE)
    if named is None and "while loading conftest" in output:
        return "the import of the tests"
    if named is None:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}:\n{output[-4000:]}")
    return named.group(1)


def judge(mutant: Mutant, near_only: bool) -> Verdict:
    """Puts a mutant in place, runs the tests, and puts the module back."""
    path, began = ROOT / mutant.module, time.monotonic()
    original, times = path.read_bytes(), path.stat()
    path.write_bytes(original[: mutant.start] + mutant.after.encode() + original[mutant.end :])
    try:
        failures = (_failed_test(command, limit) for command, limit in _stages(mutant, near_only))
        noticed = next((test for test in failures if test), None)
    finally:
        path.write_bytes(original)
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))  # compiled code is kept by time
    return Verdict(mutant, noticed, round(time.monotonic() - began, 1))


def _git(*arguments: str) -> str:
    return subprocess.run(
        ["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.strip()


def _report(verdicts: Sequence[Verdict], seed: int) -> str:
    noticed = sum(verdict.noticed_by is not None for verdict in verdicts)
    lines = [
        "# Mutants",
        "",
        f"`python tools/mutate.py --seed {seed} --count {len(verdicts)}` "
        f"at {_git('rev-parse', '--short', 'HEAD')}: {noticed} of {len(verdicts)} noticed.",
        "",
        "| place | mutant | before | after | noticed by |",
        "|---|---|---|---|---|",
    ]
    for verdict in verdicts:
        mutant = verdict.mutant
        cells = [
            f"{mutant.module}:{mutant.line}",
            mutant.kind,
            *(f"`{_short(text)}`" for text in (mutant.before, mutant.after)),
            verdict.noticed_by or "**nothing**",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _short(code: str) -> str:
    line = " ".join(code.split()).replace("|", "\\|")
    return line if len(line) <= 60 else f"{line[:57]}..."


def main() -> None:
    """Judges the mutants that are asked for, and writes what came of them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=1, help="of the draw (default 1)")
    parser.add_argument("--count", type=int, default=20, help="modules to break (default 20)")
    parser.add_argument("--only", type=int, nargs="*", help="numbers of the draw, from 1")
    parser.add_argument("--near", action="store_true", help="leave out the whole suite")
    parser.add_argument("--list", action="store_true", help="show what would be drawn, and end")
    arguments = parser.parse_args()
    drawn = list(enumerate(draw(arguments.seed, arguments.count), 1))
    if arguments.only:
        drawn = [(number, mutant) for number, mutant in drawn if number in arguments.only]
    if not arguments.list and _git("status", "--porcelain", PACKAGE.name):
        raise SystemExit(f"{PACKAGE.name} has uncommitted changes: commit or stash them first")
    verdicts = []
    for number, mutant in drawn:
        print(
            f"{number:>3} {mutant.module}:{mutant.line} {mutant.kind}: "
            f"{_short(mutant.before)}  ->  {_short(mutant.after)}",
            flush=True,
        )
        if arguments.list:
            continue
        verdicts.append(judge(mutant, arguments.near))
        print(
            f"    {verdicts[-1].seconds:.0f} s: {verdicts[-1].noticed_by or 'NOTHING'}", flush=True
        )
    if verdicts:
        results = ROOT / "var" / "mutants"
        results.mkdir(parents=True, exist_ok=True)
        (results / "mutants.json").write_text(
            json.dumps([asdict(verdict) for verdict in verdicts], indent=2)
        )
        (results / "mutants.md").write_text(_report(verdicts, arguments.seed))
    sys.exit(any(verdict.noticed_by is None for verdict in verdicts))


if __name__ == "__main__":
    main()
