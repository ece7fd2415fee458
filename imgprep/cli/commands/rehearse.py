"""Rehearse: the demo and the sandbox."""

from __future__ import annotations

import os
import signal
import sys
import threading
from argparse import Namespace

from imgprep.cli.output import ExitCode, show
from imgprep.core.errors import ConfigError


def demo(options: Namespace) -> int:
    from imgprep.demo.walkthrough import run_demo

    result = run_demo(options.out, print_step=print, progress=sys.stderr.isatty())
    show(result.sums, options.format)
    print(f"\nreport:     {result.report}\nrun folder: {result.run_folder}")
    print("Next: open the report in a browser; your own shop: imgprep init my-shop --catalogue EXPORT --images DIR")
    if result.surprises.empty:
        return ExitCode.FINE
    print("\nThese lines did not end as predicted:")
    show(result.surprises, options.format)
    return ExitCode.FINDINGS


def sandbox(options: Namespace) -> int:
    from imgprep.sandbox.sandbox import Sandbox

    stop = threading.Event()
    for signum in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signum, lambda *_: stop.set())
    if not 0 <= options.port <= 65535:
        raise ConfigError(f"--port {options.port}: must be 0 to 65535; 0 picks a free port")
    with Sandbox(options.root, port=options.port) as server:
        for name, value in server.environment().items():
            print(_as_set(name, value))
        print(f"# sandbox at {server.url}; stop it with Ctrl+C", flush=True)
        stop.wait()
    return ExitCode.FINE


def _as_set(name: str, value: str) -> str:
    """Return an assignment of an environment variable for this system's shell (PowerShell on Windows)."""
    return f'$env:{name} = "{value}"' if os.name == "nt" else f"export {name}={value}"


def completion(options: Namespace) -> int:
    import shtab

    from imgprep.cli.parser import make_parser

    print(shtab.complete(make_parser(), options.shell))
    return ExitCode.FINE
