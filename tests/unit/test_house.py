"""What holds the house together: the direction of imports, and the promises that two files make each other."""

import ast
import graphlib
import re
import subprocess
import sys
import tomllib
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "imgprep"

# A room may import from the rooms before it. Rooms of one line do not import each other.
ORDER = [
    ["core"],
    ["meta", "cloud"],
    ["images"],
    ["load"],
    ["look"],
    ["fix"],
    ["draw"],
    ["plan"],
    ["ship"],
    ["outcomes"],
    ["show"],
    ["sandbox"],
    ["demo"],
    ["shop"],
    ["cli"],
]
RANK = {room: rank for rank, line in enumerate(ORDER) for room in line}
#: Panels are the top modules of their rooms: what a person sees of a step. They may import `show`.
PANELS = {
    "load.mapping_panel",
    "look.findings_panel",
    "look.match_panel",
    "draw.annotator",
    "outcomes.cause_explorer",
    "outcomes.reconcile",
    "outcomes.review",
    "outcomes.trace",
    "ship.panel",
}
ONLY_IMPORTER = {"oss2": "cloud", "alibabacloud_imagesearch20201214": "cloud"}
# What worker processes import: each loads only what its work needs.
WORKERS = ["imgprep.core.processes", "imgprep.look.probe", "imgprep.fix.convert", "imgprep.ship.upload_workers"]
#: What the convenience methods of `Run` (outcomes, causes, by, retry, report), and the display of a frame, import when
#: they are called.
TO_THE_RIGHT = {
    "imgprep.core.frames": {"imgprep.show.tables"},
    "imgprep.ship.run": {"imgprep.outcomes.tallies", "imgprep.outcomes.retry", "imgprep.show.report_page"},
}
#: Constants that other modules import from the one that states them.
FACTS = {"increment.meta": "core.fields", 1023: "core.fields", "conin$": "images.names"}
#: Constants that are assigned once.
NAMES = {
    "EXTENSIONS": "images.names",
    "FORMATS": "look.rules.limits",
    "QUOTE_CHARS": "core.findings",
    "VALUE_CHARS": "core.findings",
    "WIRE_ORDER": "core.regions",
}
HEAVY = {"pandas", "polars", "pyarrow", "numpy", "matplotlib", "IPython"}


@cache
def modules() -> dict[str, Path]:
    return {
        ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): file
        for file in sorted(PACKAGE.rglob("*.py"))
    }


@cache
def nodes(file: Path) -> tuple[ast.AST, ...]:
    """The syntax of a file, parsed once for all tests here."""
    return tuple(ast.walk(ast.parse(file.read_text(encoding="utf-8"))))


@pytest.fixture(scope="module", autouse=True)
def free_memory():
    """Half a million nodes would slow down every later search of what is alive."""
    yield
    nodes.cache_clear()


@cache
def imports(module: str) -> frozenset[str]:
    """Modules of imgprep that a module imports: at the top, inside functions, or for type checkers alone."""
    known, found = modules(), set()
    for node in nodes(known[module]):
        if isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            found |= {f"{node.module}.{name.name}" for name in node.names} & known.keys() or {
                node.module
            } & known.keys()
        elif isinstance(node, ast.Import):
            found |= {name.name for name in node.names} & known.keys()
    return frozenset(found - {module} - TO_THE_RIGHT.get(module, set()))


def packages(file: Path) -> set[str]:
    """Top-level packages that a file imports, at any depth."""
    found = set()
    for node in nodes(file):
        if isinstance(node, ast.Import):
            found |= {name.name.partition(".")[0] for name in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.partition(".")[0])
    return found


def room_of(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


def is_panel(module: str) -> bool:
    return any(module == f"imgprep.{panel}" or module.startswith(f"imgprep.{panel}.") for panel in PANELS)


def test_every_module_is_in_a_room():
    assert {room_of(module) for module in modules()} - {"", "__main__"} == set(RANK)


def test_the_public_names_fit_on_a_page():
    names = re.findall(r"^from .* as (\w+)$", (PACKAGE / "__init__.pyi").read_text(encoding="utf-8"), re.M)
    assert len(names) == len(set(names)) <= 70, "rather a method of Project, Run or Plan"


@pytest.mark.parametrize("room", list(RANK))
def test_imports_point_one_way(room):
    for module in modules():
        for other in imports(module) if room_of(module) == room else ():
            target = room_of(other)
            if target and target != room and not (is_panel(module) and target == "show"):
                assert RANK[target] < RANK[room], f"{module} imports {other}"


def test_no_modules_need_each_other_in_a_circle():
    graph = {name: imports(name) for name in modules() if name != "imgprep"}
    graphlib.TopologicalSorter(graph).prepare()  # raises, and names the circle


def test_the_sandbox_judges_with_its_own_code():
    found = {other for module in modules() if room_of(module) == "sandbox" for other in imports(module)}
    # Nothing of these judges a row, an image or a policy.
    assert {other for other in found if room_of(other) != "sandbox"} == {
        f"imgprep.core.{name}" for name in ("credentials", "files", "service_facts", "settings", "text")
    }


@pytest.mark.parametrize(("package", "home"), ONLY_IMPORTER.items())
def test_one_module_imports_the_vendors_package(package, home):
    assert {module for module, file in modules().items() if package in packages(file)} <= {
        module for module in modules() if room_of(module) == home
    }


@pytest.mark.parametrize("module", WORKERS)
def test_a_worker_process_starts_without_the_libraries_of_tables(module):
    done = subprocess.run(
        [sys.executable, "-c", f"import sys, {module}; print(*sys.modules)"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert module in done.stdout.split() and not HEAVY & set(done.stdout.split())


@pytest.mark.parametrize(("fact", "home"), FACTS.items())
def test_a_fact_stands_in_one_place(fact, home):
    """The sandbox has its own copies: it judges without the product's code."""
    stated = {
        module
        for module, file in modules().items()
        if room_of(module) != "sandbox"
        for node in nodes(file)
        if isinstance(node, ast.Constant) and node.value == fact
    }
    assert stated == {f"imgprep.{home}"}


@pytest.mark.parametrize(("name", "home"), NAMES.items())
def test_a_constant_is_assigned_in_one_place(name, home):
    assigned = {
        module
        for module, file in modules().items()
        if room_of(module) != "sandbox"
        for node in nodes(file)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) and node.id == name
    }
    assert assigned == {f"imgprep.{home}"}


def test_files_are_written_by_one_mechanism():
    """The sandbox stores objects in its own way. `Path.replace` takes one argument, `str.replace` two."""
    found = {
        (module, call.func.attr)
        for module, file in modules().items()
        if room_of(module) != "sandbox"
        for call in nodes(file)
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute)
        if call.func.attr in {"mkstemp", "NamedTemporaryFile", "fsync"}
        or (call.func.attr == "replace" and len(call.args) == 1 and not call.keywords)
    }
    assert {call for call in found if call[0] != "imgprep.core.files"} == {
        ("imgprep.core.processes", "mkstemp"),  # memory shared with workers
    }


def test_a_progress_bar_is_drawn_only_where_someone_can_see_it():
    bars = [
        (module, next((ast.unparse(word.value) for word in call.keywords if word.arg == "disable"), ""))
        for module, file in modules().items()
        for call in nodes(file)
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "tqdm"
    ]
    # The line of a task is drawn by `task_progress`, which asks first.
    assert [module for module, disable in bars if "shows(" not in disable] == ["imgprep.ship.panel"] and len(bars) > 10


def test_environment_yml_has_the_bounds_of_pyproject():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = list(project["dependencies"])
    for extra in project["optional-dependencies"].values():
        wanted += extra
    lines = re.findall(r"^\s*- ([A-Za-z0-9_.-]+[<>=].*)$", (ROOT / "environment.yml").read_text(encoding="utf-8"), re.M)
    given = {re.split(r"[<>=]", line, maxsplit=1)[0]: line for line in lines}
    for requirement in wanted:
        name = re.split(r"[<>=]", requirement, maxsplit=1)[0]
        # On conda-forge, OpenCV without a screen is a build of another name.
        conda = {"opencv-python-headless": "py-opencv"}.get(name, name)
        line = given.pop(conda, None) or given.pop(name, None)
        assert line, f"environment.yml lacks {requirement}"
        assert line.removeprefix(conda).removeprefix(name) == requirement.removeprefix(name), requirement
    assert set(given) == {"python"}


def test_an_upper_bound_of_a_dependency_says_what_breaks():
    lines = (ROOT / "pyproject.toml").read_text(encoding="utf-8").splitlines()
    bounds = [line for line in lines if re.search(r'"[A-Za-z0-9_.-]+[^"]*<[^"]*"', line)]
    assert [line for line in bounds if "#" not in line] == []


def test_the_lock_satisfies_pyproject():
    locked = (ROOT / "requirements.lock").read_text(encoding="utf-8").lower()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    groups = [project["project"]["dependencies"], *project["project"]["optional-dependencies"].values()]
    groups += project["dependency-groups"].values()
    for requirement in (item for group in groups for item in group):
        name = re.split(r"[<>=]", requirement, maxsplit=1)[0].lower()
        assert re.search(rf"^{re.escape(name)}==", locked, re.M), f"{name} is not locked; run `make lock`"


def test_public_names_load_and_unknown_ones_do_not():
    import imgprep

    for name in imgprep.__all__:
        assert getattr(imgprep, name) is not None
    with pytest.raises(AttributeError):
        imgprep.load_catalog  # noqa: B018


def test_no_module_hides_a_public_name():
    """A module is an attribute of its package once it is imported: `imgprep.x` would then be the module."""
    import imgprep

    assert not set(imgprep.__all__) & {room_of(module) for module in modules()}
