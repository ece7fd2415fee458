"""Find a Chromium for the browser tests, or install one: ``python tests/browser/chromium.py``."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
ARGUMENTS = (
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def find_chromium() -> Path | None:
    """Return a Chromium: IMGPREP_CHROMIUM, one on the PATH, or Playwright's own; None where there is none."""
    named = os.environ.get("IMGPREP_CHROMIUM")
    if named:
        return Path(named) if Path(named).is_file() else None
    for name in NAMES:
        found = shutil.which(name)
        if found:
            return Path(found)
    try:
        from playwright.sync_api import sync_playwright

        with sync_playwright() as playwright:
            own = Path(playwright.chromium.executable_path)
    except Exception as error:  # a broken Playwright is no Chromium
        print(f"Playwright cannot be asked: {error}", file=sys.stderr)
        return None
    return own if own.is_file() else None


def launch(playwright: Any, **options: Any) -> Any:
    """Start the Chromium that is there; there must be one."""
    sandboxed = os.geteuid() != 0 if hasattr(os, "geteuid") else True
    found = str(find_chromium())
    options = {"executable_path": found, "args": list(ARGUMENTS), "chromium_sandbox": sandboxed, **options}
    return playwright.chromium.launch(**options)


def main() -> int:
    found = find_chromium()
    if found:
        print(f"Chromium: {found}")
        return 0
    print("No Chromium found; trying Playwright's download.")
    subprocess.run([sys.executable, "-m", "playwright", "install", "chromium"], check=False, timeout=900)
    if not find_chromium() and shutil.which("apt-get") and os.geteuid() == 0:
        print("Playwright's download failed; trying the system's package.")
        for command in (["update", "-qq"], ["install", "-y", "-qq", "--no-install-recommends", "chromium"]):
            subprocess.run(["apt-get", *command], check=False, timeout=900)
    found = find_chromium()
    if found:
        print(f"Chromium: {found} (installed)")
        return 0
    print("No Chromium: install one and set IMGPREP_CHROMIUM to its path.", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
