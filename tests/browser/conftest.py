"""A browser, a page, and a Jupyter server on loopback."""

import json
import os
import secrets
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
from PIL import Image, ImageDraw

from tests.browser.chromium import ARGUMENTS, find_chromium

WAIT = 20_000


@pytest.fixture(scope="session")
def browser():
    sync = pytest.importorskip("playwright.sync_api")
    chromium = find_chromium()
    if chromium is None:
        pytest.skip("no Chromium: run `make browser`")
    with sync.sync_playwright() as playwright:
        sandboxed = os.geteuid() != 0 if hasattr(os, "geteuid") else True
        opened = playwright.chromium.launch(
            executable_path=str(chromium), args=list(ARGUMENTS), chromium_sandbox=sandboxed
        )
        yield opened
        opened.close()


@pytest.fixture
def page(browser):
    context = browser.new_context(viewport={"width": 1250, "height": 950})
    context.set_default_timeout(WAIT)
    opened = context.new_page()
    opened.errors = []
    opened.on("pageerror", lambda error: opened.errors.append(str(error)))
    yield opened
    context.close()


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
        return f"{self.url}/lab/workspaces/{secrets.token_hex(4)}/tree/{name}?token={self.token}&reset"


@pytest.fixture(scope="session")
def jupyter(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lab")
    home = tmp_path_factory.mktemp("home")
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
    }
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ip=127.0.0.1", f"--port={port}"]
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
                    pytest.fail("JupyterLab did not start:\n" + (home / "log").read_text()[-2000:])
                time.sleep(0.1)  # a port that is not open yet can only be tried again
        yield Jupyter(folder, url, token)
    finally:
        process.terminate()
        process.wait(20)


def draw_images(folder: Path, count: int = 6, size: tuple[int, int] = (300, 400)) -> list[str]:
    """Draw pictures that can be told apart; return their names."""
    folder.mkdir(exist_ok=True)
    names = []
    for number in range(count):
        image = Image.new("RGB", size, "white")
        box = (40 + 10 * number, 60, 200 + 10 * number, 330)
        ImageDraw.Draw(image).rectangle(box, fill=(40 * number % 256, 90, 160))
        name = f"p{number}.png"
        image.save(folder / name)
        names.append(name)
    return names
