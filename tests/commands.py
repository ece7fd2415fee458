"""Runs commands in processes of their own, forked from one that has imported what commands import.

The imports take a command several times as long as its work on a test's few rows. The process that is forked has only
imported: it opened nothing and computed nothing. Where processes cannot be forked safely, each command is a new one.
"""

import atexit
import gc
import importlib
import json
import multiprocessing.forkserver
import os
import runpy
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

from imgprep.core import processes
from tests import warm

ROOT = Path(__file__).parents[1]
FORKS = sys.platform == "linux"
COMMANDS = ("draw", "look", "outcomes", "plan", "rehearse", "ship")
IMPORTED = (
    *("imgprep.cli.main", *(f"imgprep.cli.commands.{name}" for name in COMMANDS)),
    *("imgprep.plan.build", "imgprep.outcomes.tallies", "imgprep.ship.submit", "imgprep.ship.upload", "tqdm.auto"),
)


class Commands:
    """`run` is as much of `subprocess.run` on ``python -m imgprep`` as tests need; they wait for one at a time."""

    def __init__(self):
        self.server = None

    def run(self, words, *, cwd, env, killed_at=0, at_sends=False):
        """Run a command; `killed_at` kills it as it begins its n-th change of the folder tree or draft of a file.

        With `at_sends`, it is killed as it begins to send something over the network for the n-th time.
        """
        with tempfile.TemporaryDirectory() as folder:
            out, err = Path(folder) / "out", Path(folder) / "err"
            asked = {"words": list(map(str, words)), "cwd": str(cwd), "env": dict(env), "killed_at": killed_at}
            asked["at_sends"] = at_sends
            if self.server is None or not FORKS:
                self.server = subprocess.Popen(
                    [sys.executable, "-m", "tests.commands"],
                    cwd=ROOT,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    text=True,
                )
            print(json.dumps({**asked, "out": str(out), "err": str(err)}), file=self.server.stdin, flush=True)
            code = int(self.server.stdout.readline()) if FORKS else self.server.wait()
            return subprocess.CompletedProcess(words, code, *(file.read_text("utf-8") for file in (out, err)))

    def close(self):
        if self.server is not None:
            self.server.communicate()


def serve():
    """Run a command for each line of the input."""
    for module in IMPORTED:
        importlib.import_module(module)
    if FORKS:
        warm.begin()
        gc.freeze()
    for line in sys.stdin:
        child = os.fork() if FORKS else 0
        if child == 0:
            become(**json.loads(line))
            return
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


def become(words, cwd, env, killed_at, at_sends, out, err):
    """Be the command, to the end of this process."""
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    for handle, name in enumerate((os.devnull, out, err)):
        opened = os.open(name, os.O_RDWR | os.O_CREAT)
        os.dup2(opened, handle)
        os.close(opened)
    left, here = killed_at, os.getpid()

    def count(event, given):
        nonlocal left
        if at_sends:
            changes = event == "http.client.send"
        else:
            changes = event in ("os.rename", "os.remove", "os.mkdir") or (
                event == "open" and "imgprep-" in str(given[0])
            )
        if changes and os.getpid() == here:
            left -= 1
            if left == 0:
                os._exit(9)

    if killed_at:
        sys.addaudithook(count)
    sys.argv[1:] = words
    if FORKS:
        processes.subprocess = warm.STAND_IN
        multiprocessing.forkserver._forkserver.ensure_running = lambda: None  # it runs: as a child of another process
    try:
        runpy.run_module("imgprep", run_name="__main__", alter_sys=True)
    except SystemExit as end:  # as Python ends, but for taking apart all that was imported
        threading._shutdown()
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(end.code or 0)


if __name__ == "__main__":
    serve()
