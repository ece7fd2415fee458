"""The process that sends lots of files for another: lots come by its standard input, outcomes go by its output."""

from __future__ import annotations

import contextlib
import os
import pickle
import sys

from imgprep.cloud.oss import open_bucket
from imgprep.cloud.put import Sent
from imgprep.core.errors import ConfigError
from imgprep.ship.upload_workers import Lot, send_lot


def main() -> None:
    """Send lots until there are no more."""
    with contextlib.suppress(KeyboardInterrupt, BrokenPipeError):  # the other side says what happened
        _serve()


def _serve() -> None:
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what anybody prints must not come between the outcomes
    while True:
        answer: list[Sent] | Exception
        try:
            lot: Lot = pickle.load(sys.stdin.buffer)  # noqa: S301  from the process that started this one
        except EOFError:
            return
        except (ImportError, AttributeError) as error:
            answer = ConfigError(
                f"upload: a worker process cannot load the settings: {error}. Workers do not import from the current "
                "folder: install the credentials provider's module, name its folder in PYTHONPATH, or use processes=1"
            )
            pickle.dump(answer, out)
            return
        try:
            answer = send_lot(lot, open_bucket(lot.settings, connections=lot.threads))
        except Exception as error:  # noqa: BLE001  raised again on the other side
            answer = error
        pickle.dump(answer, out)
        out.flush()
