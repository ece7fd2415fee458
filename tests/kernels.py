"""Kernels that need not import anything, forked as `tests.warm` forks workers. A plugin: ``-p tests.kernels``.

Starting Python and importing pandas, matplotlib and the package takes a kernel longer than most notebooks' work.
"""

import multiprocessing
import multiprocessing.forkserver
import os
import sys
from multiprocessing.connection import Connection
from pathlib import Path

from jupyter_client.provisioning import local_provisioner

from imgprep.core import processes
from tests import warm

#: Environment in which all public names are imported at once, and matplotlib draws as in any kernel.
EAGER = {"EAGER_IMPORT": "1", "MPLBACKEND": "module://matplotlib_inline.backend_inline"}
LOADED = ["tests.light", "imgprep", "ipykernel.ipkernel", "ipykernel.kernelapp", "matplotlib.pyplot", "tests.kernels"]

start_anew = local_provisioner.launch_kernel


class Kernel:
    """As much of `subprocess.Popen` as jupyter_client uses."""

    stdin = stdout = stderr = None

    def __init__(self, arguments, outputs, cwd, env):
        context = multiprocessing.get_context("forkserver")
        ready, began = context.Pipe(duplex=False)
        ends = {handle: Connection(os.dup(file.fileno())) for handle, file in outputs.items() if file}
        # pytest does not wait for a kernel that a failed test leaves.
        self.process = context.Process(target=serve, args=(began, arguments, ends, cwd, env), daemon=True)
        self.process.start()
        for end in (began, *ends.values()):
            end.close()
        ready.recv()  # its process group is asked for next
        self.pid, self.kill, self.terminate = self.process.pid, self.process.kill, self.process.terminate

    def poll(self):
        return self.process.exitcode

    def wait(self):
        self.process.join()
        return self.process.exitcode

    def send_signal(self, number):
        os.kill(self.pid, number)


def serve(began, arguments, ends, cwd, env):
    """Become a kernel, whose workers are forked too."""
    os.setsid()
    began.send(None)
    began.close()
    for handle, end in ends.items():
        os.dup2(end.fileno(), handle)
        end.close()
    os.chdir(cwd or ".")
    os.environ.clear()
    os.environ.update(env, JPY_PARENT_PID=str(os.getppid()))
    os.environ.pop("PYTHONPATH", None)  # sys.path has it; with it, workers would start as users' do
    sys.argv[1:] = arguments
    tests = str(Path(__file__).parent)
    sys.path[:] = ["", *(folder for folder in sys.path if folder and not folder.startswith(tests))]
    multiprocessing.current_process()._config["daemon"] = False  # it may have workers
    multiprocessing.forkserver._forkserver.ensure_running = lambda: None  # it runs: this process is its child
    processes.subprocess = warm.STAND_IN

    from ipykernel.kernelapp import launch_new_instance

    launch_new_instance()


def launch(command, *, stdin=None, stdout=None, stderr=None, cwd=None, env=None, **more):
    """Start a kernel: forked, unless it is another Python or its output is to be read."""
    ours = command[0] == sys.executable and "ipykernel_launcher" in command
    if not ours or stdin or any(isinstance(file, int) for file in (stdout, stderr)) or more.get("independent"):
        return start_anew(command, stdin=stdin, stdout=stdout, stderr=stderr, cwd=cwd, env=env, **more)
    warm.begin()
    arguments = command[command.index("ipykernel_launcher") + 1 :]
    return Kernel(arguments, {1: stdout, 2: stderr}, cwd, dict(env or os.environ))


if warm.FORKS:
    local_provisioner.launch_kernel = launch
    warm.LOADED += LOADED
    warm.ENVIRONMENT |= EAGER
