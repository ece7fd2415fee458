"""In a notebook an error of imgprep is one block, its traceback folded away; other errors are as they were."""

import subprocess
import sys

import nbformat
import pytest
from nbclient import NotebookClient

CELLS = [
    "import imgprep as ip",
    "ip.load_runs('.')\nip.open_project('nowhere')",
    "1 / 0",
    "%xmode Minimal\n1 / 0",
    "ip.open_project('nowhere')",
]


@pytest.fixture(scope="module")
def outputs(tmp_path_factory):
    where = {"metadata": {"path": str(tmp_path_factory.mktemp("notebook"))}}
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in CELLS])
    client = NotebookClient(notebook, kernel_name="python3", allow_errors=True, timeout=120, resources=where)
    client.execute()
    return [cell["outputs"] for cell in notebook.cells]


@pytest.mark.parametrize("at", [1, 4])
def test_an_error_of_ours_is_its_message_and_remedy_below_the_folded_traceback(outputs, at):
    folded, error = outputs[at]
    assert error["output_type"] == "error" and error["ename"] == "ConfigError"
    what, remedy = error["traceback"]
    assert "ConfigError" in what and "nowhere" in what and "not found" in what
    assert remedy == "→ `imgprep init` creates one"
    page = folded["data"]["text/html"]
    assert page.startswith("<details><summary>") and "open" not in page[:9] and "in open_project" in page
    assert "&lt;module&gt;" in page, "the text is escaped"


def test_other_errors_are_shown_as_usual_and_as_xmode_says(outputs):
    (error,) = outputs[2]
    assert error["ename"] == "ZeroDivisionError" and "Traceback" in "".join(error["traceback"])
    assert "Traceback" not in "".join(outputs[3][-1]["traceback"])


def test_outside_ipython_nothing_is_loaded_and_the_traceback_is_pythons():
    code = (
        "import sys, imgprep as ip\ntry:\n    ip.open_project('nowhere')\nfinally:\n    print('IPython' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "False" and "Traceback (most recent call last)" in done.stderr


def test_ipython_in_a_terminal_shows_the_usual_traceback():
    code = "import imgprep as ip; ip.open_project('nowhere')"
    done = subprocess.run(
        [sys.executable, "-m", "IPython", "--no-banner", "--colors=NoColor", "-c", code],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Traceback (most recent call last)" in done.stdout + done.stderr
    assert "Unexpected exception formatting" not in done.stdout + done.stderr
