"""The `imgprep` command: parse the arguments, import and call the command, turn errors into exit codes."""

from __future__ import annotations

import atexit
import gc
import importlib
import logging
import sys
from collections.abc import Sequence

from imgprep.cli.output import ExitCode, Plain, escaped, print_anything
from imgprep.cli.parser import make_parser
from imgprep.core.errors import ImgprepError, NothingToSend, ServiceError, StorageError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    # Imports and frames allocate much and free little: with Python's threshold of 700, the search for garbage took a
    # fifth of the CPU time of `imgprep check` on 100 rows, and the one before the process ends as much again.
    gc.set_threshold(500_000, *gc.get_threshold()[1:])
    atexit.register(gc.freeze)
    print_anything(sys.stdout, sys.stderr)
    options = make_parser().parse_args(arguments)
    handler = logging.StreamHandler()
    handler.setFormatter(Plain("%(levelname)s %(message)s"))
    logging.basicConfig(level=logging.INFO if options.verbose else logging.WARNING, handlers=[handler])
    try:
        module, _, command = options.run.partition(":")
        return int(getattr(importlib.import_module(module), command)(options))
    except NothingToSend as nothing:
        print(escaped(f"imgprep: {nothing}"), file=sys.stderr)
        return ExitCode.FINE
    except ImgprepError as error:
        print(escaped(f"imgprep: {error}"), file=sys.stderr)
        # No answer or a busy service is not caused by the input, so running the command again may help.
        passing = isinstance(error, (StorageError, ServiceError)) and error.passing
        return ExitCode.PARTIAL if passing else ExitCode.UNUSABLE
    except KeyboardInterrupt:
        print("imgprep: interrupted; run the command again to continue where it stopped", file=sys.stderr)
        return ExitCode.PARTIAL
    except BrokenPipeError:
        sys.stderr.close()
        return ExitCode.FINE
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        print(escaped(f"imgprep: {where}{error.strerror or error}"), file=sys.stderr)
        return ExitCode.UNUSABLE
