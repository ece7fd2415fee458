"""What holds the house together: the direction of imports, and the promises that two files make each other."""

import ast
import graphlib
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "imgprep"

# A module may import from the layers above its own, and from its own as long as no circle forms.
LAYERS = [
    ["errors", "ahead", "child_process", "frames", "findings", "lazy"],
    ["errors", "ahead", "frames", "findings", "lazy", "written"],
    ["settings", "fields", "clock", "network"],
    ["meta", "regions", "region_order"],
    ["access", "catalogue", "images", "checks", "plan", "reports", "suggest"],
    ["store", "oss", "service", "runs"],
    [
        "batch_folder",
        "build",
        "retry",
        "reconciliation",
        "monthly_review",
        "demo_weeks",
        "annotated_manifest",
        "export",
        "product_story",
        "undoing",
        "project",
        "project_columns",
        "tallies",
        "charts",
        "html",
        "widgets",
        "demo",
        "shop_or_demo",
        "cli",
    ],
]
RANK = {module: rank for rank, layer in enumerate(LAYERS) for module in layer}
ONLY_IMPORTER = {"oss2": "oss", "alibabacloud_imagesearch20201214": "service"}
# What the processes run that are started beside the caller's: each loads only what its work needs.
WORKERS = ["imgprep.oss.worker", "imgprep.images.worker", "imgprep.images.probe", "imgprep.images.convert"]
HEAVY = {"pandas", "polars", "pyarrow", "numpy", "matplotlib", "IPython"}


def imports_of(file: Path) -> set[tuple[str, str]]:
    """(top package, next part) of everything that a file imports, at any depth."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {
                (name.name.partition(".")[0], name.name.partition(".")[2].partition(".")[0]) for name in node.names
            }
        elif isinstance(node, ast.ImportFrom) and node.module:
            parts = node.module.split(".")
            if parts == ["imgprep"]:
                found |= {("imgprep", name.name) for name in node.names}
            else:
                found.add((parts[0], parts[1] if len(parts) > 1 else ""))
    return found


def rooms() -> dict[str, list[Path]]:
    found: dict[str, list[Path]] = {}
    for file in sorted(PACKAGE.rglob("*.py")):
        room = file.relative_to(PACKAGE).parts[0].removesuffix(".py")
        found.setdefault(room, []).append(file)
    return found


def room_imports(room: str) -> set[str]:
    return {
        part for file in rooms().get(room, []) for top, part in imports_of(file) if top == "imgprep" and part != room
    }


def test_every_module_has_a_place_in_the_layers():
    assert set(rooms()) - {"__init__", "__main__", "sandbox"} <= set(RANK)


@pytest.mark.parametrize("room", [room for room in rooms() if room in RANK])
def test_imports_point_one_way(room):
    upward = {other for other in room_imports(room) if RANK.get(other, 99) > RANK[room]}
    # The command line and the demo start the sandbox; nothing else in the product knows of it.
    if room in ("cli", "demo", "demo_weeks"):
        upward -= {"sandbox", "__version__"}
    assert not upward, f"{room} imports {sorted(upward)}, which stand below it"


def test_no_circles_within_a_layer():
    graph = {room: room_imports(room) & set(RANK) for room in rooms() if room in RANK}
    done: set[str] = set()

    def walk(room: str, path: tuple[str, ...]) -> None:
        assert room not in path, " → ".join([*path, room])
        if room not in done:
            for other in sorted(graph.get(room, ())):
                walk(other, (*path, room))
            done.add(room)

    for room in graph:
        walk(room, ())


def modules_used(file: Path, known: set[str]) -> set[str]:
    """Modules of ours that a file loads, at once or later; what only type checkers read does not count."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    for node in list(ast.walk(tree)):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            node.body.clear()
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{name.name}" for name in node.names} & known or {node.module} & known
    return found


def test_no_modules_need_each_other_in_a_circle():
    names = {".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): file
             for file in PACKAGE.rglob("*.py")}  # fmt: skip
    graph = {name: modules_used(file, set(names)) - {name} for name, file in names.items()}
    graphlib.TopologicalSorter(graph).prepare()  # raises, and names the circle


def test_the_sandbox_judges_with_its_own_code():
    assert room_imports("sandbox") <= {"settings"}


@pytest.mark.parametrize(("package", "home"), ONLY_IMPORTER.items())
def test_one_module_imports_the_vendors_package(package, home):
    importers = {
        room for room, files in rooms().items() for file in files if package in {top for top, _ in imports_of(file)}
    }
    assert importers <= {home}


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

    assert not set(imgprep.__all__) & set(rooms())
