"""One function a command: options in, exit code out."""

from imgprep.cli.commands.after import report, retry, undo
from imgprep.cli.commands.drift import compare
from imgprep.cli.commands.history import review, trace
from imgprep.cli.commands.look import duplicates, feedback, look
from imgprep.cli.commands.prepare import build, check, fetch, init, match, prepare
from imgprep.cli.commands.regions import regions
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
