"""The notebooks tell the story and the package does the work; their outputs are there to be compared."""

import ast
import re
from base64 import b64decode
from pathlib import Path

import nbformat
import pytest

from tests.leaks import SHAPE

NOTEBOOKS = sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))
MACHINES = ("/home/", "/tmp/", "/root/", "/Users/", "C:\\\\", "127.0.0.1")
SECRETS = ("ACCESS_KEY", "SECRET", "TOKEN")


@pytest.fixture(params=NOTEBOOKS, ids=lambda file: file.stem)
def notebook(request):
    return nbformat.read(request.param, as_version=4)


def with_images_read(text):
    """Images as the bytes that they are: in base64, any letters stand somewhere."""
    image = re.compile(r"(image/(?:png|jpeg)(?:;base64,|': '))([A-Za-z0-9+/=\\n]+)")
    return image.sub(lambda found: found[1] + b64decode(found[2].replace("\\n", "")).decode("latin-1"), text)


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def test_there_are_notebooks():
    assert NOTEBOOKS


def test_every_code_cell_was_executed_in_order_and_none_failed(notebook):
    assert [cell.execution_count for cell in code_cells(notebook)] == list(range(1, len(code_cells(notebook)) + 1))
    outputs = [output for cell in code_cells(notebook) for output in cell.outputs]
    assert outputs and not any(output.output_type == "error" for output in outputs)
    assert not [output for output in outputs if output.get("name") == "stderr"], "warnings are noise to a reader"


def test_size_and_style(notebook):
    assert 10 <= len(notebook.cells) <= 25
    for cell in code_cells(notebook):
        assert len(cell.source.splitlines()) <= 10, cell.source
        for node in ast.walk(ast.parse(cell.source)):
            assert not isinstance(node, (ast.FunctionDef, ast.ClassDef, ast.Lambda)), cell.source


def test_the_first_screen_has_the_question_the_answer_and_what_is_next(notebook):
    title, *paragraphs = notebook.cells[0].source.split("\n\n")
    assert title.endswith("?") or paragraphs[0].startswith("**The question:**")
    assert [each.startswith("**What next:**") for each in paragraphs].count(True) == 1
    first = next(cell for cell in code_cells(notebook) if "image/" in str(cell.outputs))
    assert any(out.output_type == "stream" for out in first.outputs), "a sentence beside the picture"
    assert notebook.cells.index(first) <= 5, "the answer comes before the how"


def test_a_notebook_needs_one_import(notebook):
    code = "\n".join(cell.source for cell in code_cells(notebook))
    imports = [node for node in ast.walk(ast.parse(code)) if isinstance(node, (ast.Import, ast.ImportFrom))]
    assert [ast.unparse(node) for node in imports] == ["import imgprep as ip"]


def test_the_first_code_cell_has_the_parameters(notebook):
    first = code_cells(notebook)[0]
    assert "parameters" in first.metadata.get("tags", [])
    for statement in ast.parse(first.source).body:
        assert isinstance(statement, (ast.AnnAssign, ast.Import, ast.ImportFrom)), "typed parameters only"
    assert not any(word in first.source.upper() for word in SECRETS)


def test_outputs_hold_no_path_of_a_machine(notebook):
    for cell in code_cells(notebook):
        text = str(cell.outputs)
        assert not any(mark in text for mark in MACHINES), text[:500]


def test_outputs_hold_no_key_of_a_sandbox(notebook):
    for cell in code_cells(notebook):
        shown = with_images_read(str(cell.outputs))
        assert not SHAPE.search(shown) and not re.search(r"SANDBOX[0-9A-F]{16}|STS\.[\w-]{20}|Signature=", shown)


def test_nothing_is_saved_that_changes_with_every_run(notebook):
    assert "widgets" not in notebook.metadata, "widget state: save without it"
    assert not [cell.id for cell in notebook.cells if "execution" in cell.metadata], "times of execution"


def test_the_start_page_names_every_notebook():
    start = (NOTEBOOKS[0].parent / "START.md").read_text(encoding="utf-8")
    assert re.findall(r"\]\((\w+\.ipynb)\)", start) == [file.name for file in NOTEBOOKS]


def test_the_start_page_asks_what_the_notebooks_ask():
    rows = re.findall(r"\]\(\w+\.ipynb\) \| (.+?) \|", (NOTEBOOKS[0].parent / "START.md").read_text(encoding="utf-8"))
    for asked, file in zip(rows, NOTEBOOKS, strict=True):
        title = nbformat.read(file, 4).cells[0].source.partition("\n")[0].partition(" · ")[2]
        assert asked == title or not title.endswith("?"), file.name
