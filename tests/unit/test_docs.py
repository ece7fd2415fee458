"""The site says the same as the project; tests/site builds it."""

import importlib
import pkgutil
import re
import tomllib
from pathlib import Path
from urllib.parse import urlsplit

import pytest

import imgprep as ip
from docs.make_charts import PAGE, PICTURES, examples
from imgprep.cli.parser import make_parser
from imgprep.show import charts

DOCS = Path(__file__).parents[2] / "docs"
PROJECT = DOCS.parent
PAGES = sorted(
    page
    for pattern in ("*.md", "docs/*.md", "notebooks/*.md", "data/*.md", ".github/**/*.md")
    for page in PROJECT.glob(pattern)
)


def test_every_dependency_and_its_licence_is_listed():
    project = tomllib.loads((DOCS.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    page = (DOCS / "dependencies.md").read_text(encoding="utf-8")
    listed = set(re.findall(r"^\| ([a-z0-9-]+) \| \S", page, re.M)) - {"package"}
    assert listed == {re.split(r"[<>=]", wanted)[0] for wanted in project["dependencies"]}
    for extra in project["optional-dependencies"].values():
        assert all(re.split(r"[<>=]", wanted)[0] in page for wanted in extra)


def test_every_test_that_the_page_on_safety_names_exists():
    page = (DOCS / "safety.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", page))
    assert len(named) > 40
    for file, test in named:
        assert re.search(rf"^def {test}\(", (DOCS.parent / file).read_text(encoding="utf-8"), re.M), f"{file}::{test}"
    rows = [line for line in page.splitlines() if line.startswith("| ") and not line.startswith("| tried |")]
    assert all("::test_" in row for row in rows), "a row without a test"


def anchors(page):
    """Return the anchors of a page's headings, as GitHub and the site make them."""
    headings = re.findall(
        r"^#+ (.+)$", re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.M | re.S), re.M
    )
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(PROJECT)))
def test_every_link_to_a_file_of_the_project_leads_somewhere(page):
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        path, _, anchor = link.partition("#")
        if re.match(r"\w+:", path) or path.startswith("reference/"):  # the site makes the reference
            continue
        target = page.parent / path if path else page
        assert target.exists(), f"{page.name}: {link}"
        assert not anchor or anchor in anchors(target), f"{page.name}: {link}"


def test_every_external_link_is_a_whole_https_address():
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    links = set(project["urls"].values())
    for page in PAGES:
        links |= set(re.findall(r"\]\((\w+:[^)\s]*)\)", page.read_text(encoding="utf-8")))
    assert len(links) > 5
    for link in links:
        address = urlsplit(link)
        assert address.scheme == "https" and re.fullmatch(r"[a-z0-9-]+(\.[a-z0-9-]+)+", address.netloc), link


def test_the_gallery_shows_every_chart_with_its_code_and_picture():
    modules = [
        importlib.import_module(found.name) for found in pkgutil.iter_modules(charts.__path__, "imgprep.show.charts.")
    ]
    drawn = {name for module in modules for name in vars(module) if name.startswith("plot_")}
    shown = [name for name, _ in examples(PAGE.read_text(encoding="utf-8")) if name]
    assert {re.sub(r"_\d+$", "", name) for name in shown} == drawn
    assert [picture.stem for picture in sorted(PICTURES.glob("*.png"))] == sorted(shown)
    text = PAGE.read_text(encoding="utf-8")
    assert all(f"](images/charts/{name}.png)" in text for name in shown)


@pytest.mark.parametrize(
    "page", ["README.md", "README.zh-CN.md", "docs/guide.md", "docs/guide.zh-CN.md", "docs/cheatsheet.md"]
)
def test_every_name_command_and_option_that_a_page_shows_exists(page):
    text = (PROJECT / page).read_text(encoding="utf-8")
    commands = next(action.choices for action in make_parser()._actions if action.choices and "check" in action.choices)
    shown = re.findall(r"(?:^(?:\S+/)?|`)imgprep ([a-z][a-z-]*)([^`\n#&]*)", text, re.M)
    assert shown
    for command, rest in shown:
        known = {option for action in commands[command]._actions for option in action.option_strings}
        assert set(re.findall(r"--[a-z][a-z-]*", rest)) <= known, f"imgprep {command}{rest}"
    assert set(re.findall(r"\bip\.([A-Za-z_]+)", text)) <= set(ip.__all__)
    assert all(hasattr(ip.Project, name) for name in re.findall(r"\bshop\.([a-z_]+)", text))


@pytest.mark.parametrize("page", ["README.md", "notebooks/START.md", "docs/guide.md"])
def test_the_chinese_page_has_the_names_numbers_and_commands_of_the_english_one(page):
    def contents(path):
        text = path.read_text(encoding="utf-8")
        block = re.compile(r"^```.*?^```", re.M | re.S)
        commands = [re.sub(r"\s*#.*", "", line) for found in block.findall(text) for line in found.splitlines()]
        prose = block.sub("", text)
        numbers = set(re.findall(r"\d(?:[\d,.]*\d)?", prose))
        names = {" ".join(name.split()) for name in re.findall(r"`([^`]+)`", prose)}
        return commands, names, numbers, len(re.findall(r"^#+ ", prose, re.M))

    english = PROJECT / page
    assert contents(english.with_name(f"{english.stem}.zh-CN.md")) == contents(english)
