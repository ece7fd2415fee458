"""A JupyterLab of our own on loopback, and a notebook in it."""

from __future__ import annotations

import json
import os
import secrets
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from imgprep.demo.shop import CACHE_VARIABLE, cache_folder

#: Milliseconds for one of ten attempts: a question may open over what is to be clicked.
TRY = 10_000


class Jupyter:
    """A server with its own folder and token."""

    def __init__(self, folder: Path, url: str, token: str) -> None:
        self.folder, self.url, self.token = folder, url, token

    def notebook(self, name: str, cells: list[str]) -> str:
        """Write a notebook; return the address that opens it in JupyterLab."""
        body = {
            "nbformat": 4,
            "nbformat_minor": 5,
            "metadata": {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}},
            "cells": [
                {
                    "cell_type": "code",
                    "id": f"c{n}",
                    "metadata": {},
                    "execution_count": None,
                    "outputs": [],
                    "source": s,
                }
                for n, s in enumerate(cells)
            ],
        }
        (self.folder / name).write_text(json.dumps(body), encoding="utf-8")
        return self.address(name)

    def address(self, name: str) -> str:
        """Return an address that opens a notebook that is there; each has a workspace of its own."""
        return f"{self.url}/lab/workspaces/{secrets.token_hex(4)}/tree/{name}?token={self.token}&reset"

    def page(self, name: str) -> str:
        """Return the address that opens a notebook that is there in Notebook 7, which runs on the same server."""
        return f"{self.url}/notebooks/{name}?token={self.token}"


@contextmanager
def running_lab(folder: Path, home: Path, *, python: str = sys.executable) -> Iterator[Jupyter]:
    """Start JupyterLab in `folder` with settings of its own in `home`, and stop it in the end."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    token = secrets.token_hex(16)
    environment = {
        **os.environ,
        "HOME": str(home),
        "IPYTHONDIR": str(home / "ipython"),
        "JUPYTER_CONFIG_DIR": str(home / "config"),
        "JUPYTER_DATA_DIR": str(home / "data"),
        "JUPYTER_RUNTIME_DIR": str(home / "runtime"),
        "PYTHONPATH": str(Path(__file__).parents[2]),
        CACHE_VARIABLE: str(cache_folder()),  # the demo shop is made once for all tests
    }
    start = "import tests.light; from jupyterlab.labapp import main; main()"
    command = [python, "-c", start, "--no-browser", "--allow-root", "--ip=127.0.0.1", f"--port={port}"]
    command += [f"--ServerApp.root_dir={folder}", f"--IdentityProvider.token={token}", "--ServerApp.port_retries=0"]
    with (home / "log").open("w") as log:
        process = subprocess.Popen(command, env=environment, cwd=folder, stdout=log, stderr=log)
    url = f"http://127.0.0.1:{port}"
    try:
        until = time.monotonic() + 60
        while True:
            try:
                with urllib.request.urlopen(f"{url}/api/status?token={token}", timeout=5):
                    break
            except OSError:
                if process.poll() is not None or time.monotonic() > until:
                    log = (home / "log").read_text()[-2000:]
                    raise RuntimeError(f"JupyterLab did not start:\n{log}") from None
                time.sleep(0.1)  # a port that is not open yet can only be tried again
        yield Jupyter(folder, url, token)
    finally:
        process.terminate()
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:  # it waits for a kernel that was restarted
            process.kill()
            process.wait()


def run_first_cell(page) -> None:  # type: ignore[no-untyped-def]
    """Run the first cell of the notebook that is open."""

    def run() -> None:
        page.locator(".jp-Cell .cm-content").first.click(timeout=TRY)
        page.keyboard.press("Shift+Enter")

    _until_taken(page, run)


def run_all_cells(page) -> None:  # type: ignore[no-untyped-def]
    """Run the notebook that is open, from its menu."""

    def run() -> None:
        page.get_by_role("menuitem", name="Run", exact=True).click(timeout=TRY)
        page.get_by_role("menuitem", name="Run All Cells", exact=True).click(timeout=TRY)

    _until_taken(page, run)


def _until_taken(page, run: Callable[[], None]) -> None:  # type: ignore[no-untyped-def]
    from playwright.sync_api import TimeoutError

    # The notebook takes keys before its kernel does: a run is dropped then, or answered with a question for a kernel.
    page.locator('.jp-Notebook-ExecutionIndicator[data-status="idle"]').first.wait_for()
    prompt = page.locator(".jp-Cell .jp-InputPrompt").first
    for _ in range(10):
        try:
            run()
            page.wait_for_function("p => p.textContent.trim() !== '[ ]:'", arg=prompt.element_handle(), timeout=3000)
        except TimeoutError:
            page.keyboard.press("Escape")
            continue
        return


def set_theme(page, name: str) -> None:  # type: ignore[no-untyped-def]
    """Choose JupyterLab's theme, ``light`` or ``dark``, from its menu."""
    light = "true" if name == "light" else "false"
    if page.locator(f'body[data-jp-theme-light="{light}"]').count():
        return
    page.get_by_role("menuitem", name="Settings", exact=True).click()
    page.locator(".lm-Menu-itemLabel").get_by_text("Theme", exact=True).hover()
    page.locator(".lm-Menu-itemLabel").get_by_text(f"JupyterLab {name.capitalize()}", exact=True).click()
    page.locator(f'body[data-jp-theme-light="{light}"]').wait_for(state="attached")


def output(page):  # type: ignore[no-untyped-def]
    """Return the output of the first cell."""
    return page.locator(".jp-Cell .jp-OutputArea-output").first


def unreadable(page, output) -> list[str]:  # type: ignore[no-untyped-def]
    """Return what cannot be read of an output, in both themes and at 700 and 1280 px with the file browser open."""
    script, found = (Path(__file__).parent / "readable.js").read_text(encoding="utf-8"), []
    for theme in ("dark", "light"):
        page.set_viewport_size({"width": 1280, "height": 950})
        set_theme(page, theme)
        for width in (1280, 700):
            page.set_viewport_size({"width": width, "height": 950})
            page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
            found += [f"{theme}, {width} px: {problem}" for problem in output.evaluate(script)]
    page.set_viewport_size({"width": 1250, "height": 950})
    return found
