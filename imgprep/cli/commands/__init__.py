"""One function a command: options in, exit code out."""

from __future__ import annotations

from imgprep.cli.commands.draw import regions
from imgprep.cli.commands.look import compare, duplicates, feedback, look
from imgprep.cli.commands.outcomes import report, retry, review, trace, undo
from imgprep.cli.commands.plan import build, check, fetch, init, match, prepare
from imgprep.cli.commands.rehearse import demo, sandbox
from imgprep.cli.commands.ship import adopt, close, dump, follow, policy, preflight, submit, tasks, upload

__all__ = [
    "adopt",
    "build",
    "check",
    "close",
    "compare",
    "demo",
    "dump",
    "duplicates",
    "feedback",
    "fetch",
    "follow",
    "init",
    "look",
    "match",
    "policy",
    "preflight",
    "prepare",
    "regions",
    "report",
    "retry",
    "review",
    "sandbox",
    "submit",
    "tasks",
    "trace",
    "undo",
    "upload",
]
