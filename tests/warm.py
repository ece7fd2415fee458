"""Workers that need not import anything: forked from one process that has loaded what they use.

Starting Python and importing Pillow and numpy takes a worker five times as long as the few images that a test gives it.
Each is a process of its own as ever. Tests that set PYTHONPATH, such as those about starting, get workers as users do.
"""

import multiprocessing
import multiprocessing.forkserver
import os
import subprocess
import threading
from multiprocessing.connection import Connection
from types import SimpleNamespace
from unittest import mock

from imgprep.core import processes

LOADED = ["imgprep.look.probe", "imgprep.look.pixels", "imgprep.fix.convert", "PIL.PngImagePlugin"]
ENVIRONMENT = {"OPENBLAS_NUM_THREADS": "1"}
FORKS = "forkserver" in multiprocessing.get_all_start_methods()


class Worker:
    """As much of `subprocess.Popen` as `imgprep.core.processes` uses."""

    def __init__(self, command, *, stdin, stdout, stderr, env):
        assert stdin == stdout == subprocess.PIPE
        inbox, outbox = os.pipe(), os.pipe()
        ends = [Connection(os.dup(handle)) for handle in (inbox[0], outbox[1], stderr.fileno())]
        for handle in (inbox[0], outbox[1]):
            os.close(handle)
        self.stdin, self.stdout = os.fdopen(inbox[1], "wb"), os.fdopen(outbox[0], "rb")
        self.process = multiprocessing.get_context("forkserver").Process(target=serve, args=(ends, env, command[3:]))
        self.process.start()
        for end in ends:
            end.close()
        self.pid, self.kill = self.process.pid, self.process.kill
        self.waiting = threading.Lock()

    def wait(self):
        with self.waiting:
            self.process.join()
        return self.returncode

    @property
    def returncode(self):
        return self.process.exitcode


def serve(ends, environment, arguments):
    """Become a worker."""
    os.environ.clear()
    os.environ.update(environment)
    for handle, end in enumerate(ends):
        os.dup2(end.fileno(), handle)
        end.close()
    processes._serve(*arguments)


def start(command, **options):
    """Start a worker: forked, unless Python is to look for modules elsewhere."""
    return (subprocess.Popen if "PYTHONPATH" in os.environ else Worker)(command, **options)


#: For `imgprep.core.processes`, in place of the module.
STAND_IN = SimpleNamespace(Popen=start, PIPE=subprocess.PIPE)


def begin():
    """Start the process that workers are forked from."""
    multiprocessing.get_context("forkserver").set_forkserver_preload(LOADED)
    with mock.patch.dict(os.environ, ENVIRONMENT):
        multiprocessing.forkserver.ensure_running()
