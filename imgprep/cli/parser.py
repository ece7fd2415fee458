"""What can be said to the command, and its help."""

from __future__ import annotations

import argparse
import difflib
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from imgprep import __version__
from imgprep.cli import commands
from imgprep.core.fields import Service

#: As argparse says it since Python 3.11; the choices stand in quotes or not, by its version.
_CHOICE = re.compile(r"invalid choice: '(.+?)' \(choose from (.*)\)", re.S)


class Parser(argparse.ArgumentParser):
    """An argument parser whose complaints end with what was probably meant.

    Examples
    --------
    >>> parser = Parser(prog="imgprep")
    >>> parser.add_argument("--images").option_strings
    ['--images']
    >>> parser.meant(["--imgaes", "photos"])
    'did you mean --images for --imgaes?'
    """

    _words: Sequence[str] = ()

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse what is known; the words are kept, for a complaint to look at."""
        self._words = [] if args is None else [word for word in args if isinstance(word, str)]
        return super().parse_known_args(args, namespace)

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse; what no command knows is answered by the command that was named, with its own options."""
        found, unknown = self.parse_known_args(args, namespace)
        if unknown:
            named: Parser = getattr(found, "parser", self)
            hint = named.meant(unknown)
            named.error(f"not understood: {' '.join(unknown)}{'; ' + hint if hint else ''}")
        return found

    def error(self, message: str) -> NoReturn:
        """Say what is wrong, and what was probably meant, and end with exit code 2."""
        if found := _CHOICE.search(message):
            near = nearest(found[1], re.findall(r"[\w.-]+", found[2]))
            told = f"did you mean {near}?" if near else f"choose from {found[2]}"
            message = f"{message[: found.start()]}there is no {found[1]!r}; {told}"
        elif message.endswith("required: COMMAND"):
            message = f"{message}; `{self.prog} --help` lists them"
        elif "required" in message and (hint := self.meant(self._words)):
            message = f"{message}; {hint}"
        super().error(message)

    def meant(self, words: Sequence[str]) -> str:
        """Return what `words` that are no option of this parser probably stand for, in words."""
        options = [option for action in self._actions for option in action.option_strings]
        given = [word.partition("=")[0] for word in words if word.startswith("--")]
        unknown = [word for word in given if not any(option.startswith(word) for option in options)]
        return " ".join(f"did you mean {near} for {word}?" for word in unknown if (near := nearest(word, options)))


def nearest(word: str, known: Iterable[str]) -> str | None:
    """Return the one of `known` that `word` most likely stands for; None where nothing is near."""
    close = difflib.get_close_matches(word, list(known), n=1)
    return close[0] if close else None


_EPILOG = """\
Exit codes: 0 fine; 1 findings of severity error, or failed lines; 2 unusable input, configuration or access;
3 partly done or outcome unknown, safe to repeat.

Options go after the command: imgprep check --project my-shop. `imgprep COMMAND --help` tells them.
Settings come from arguments, then IMGPREP_… variables, then imgprep.toml in the folder (or --project).
Credentials come from the vendors' own variables and chains only: OSS_ACCESS_KEY_ID, OSS_ACCESS_KEY_SECRET,
ALIBABA_CLOUD_ACCESS_KEY_ID, ALIBABA_CLOUD_ACCESS_KEY_SECRET and their tokens.
"""
_SETTINGS = {
    "region": "region of bucket and instance, such as cn-shanghai",
    "bucket": "the OSS bucket's name",
    "path": "folder in the bucket, such as /increment",
    "instance": "the Image Search instance's name, not its id",
    "role-arn": "RAM role that the service reads the bucket with",
    "oss-endpoint": "address of OSS, where it is not the region's",
    "imagesearch-endpoint": "address of Image Search, where it is not the region's",
}
_IMAGES = "folder or zip archive of the photographs (default: the project's)"
REVIEW_TABLES = ("funnel", "coverage", "backlog", "findable", "sources", "better")


class _Shared:
    """Options that several commands have, as parents of their parsers."""

    def __init__(self) -> None:
        self.all = Parser(add_help=False)
        self.all.add_argument("-v", "--verbose", action="store_true", help="log what is done")
        self.all.add_argument("--project", type=Path, metavar="DIR", help="folder of imgprep.toml (default: this one)")
        self.all.add_argument(
            "--format", choices=["table", "csv", "json"], default="table", help="how lists are printed"
        )
        self.reading = Parser(add_help=False)
        self.reading.add_argument("--preset", help="how to read the export (default: auto)")
        self.reading.add_argument(
            "--columns", type=Path, metavar="MAP.toml", help="column map (default: the project's)"
        )
        kinds = [str(kind) for kind in Service]
        self.reading.add_argument("--service", choices=kinds, help="service type of the instance")
        self.catalogue = Parser(add_help=False, parents=[self.reading])
        self.catalogue.add_argument(
            "catalogue",
            type=Path,
            nargs="?",
            metavar="CATALOGUE",
            help="CSV, TSV, Excel, Parquet or JSON Lines (default: the project's)",
        )
        self.images = Parser(add_help=False)
        self.images.add_argument("--images", type=Path, metavar="DIR", help=_IMAGES)
        self.naming = Parser(add_help=False)
        self.naming.add_argument(
            "--near-names",
            action="store_true",
            help="take the file that a PicName nearly names: case, Unicode form, slashes, extension, folder",
        )
        self.drawn = Parser(add_help=False)
        either = self.drawn.add_mutually_exclusive_group()
        either.add_argument("--regions", type=Path, metavar="DB", help="region store (default: the project's)")
        either.add_argument(
            "--no-regions", action="store_true", help="without any region, also where the project has a store of them"
        )
        self.paged = Parser(add_help=False)
        self.paged.add_argument(
            "--page", type=int, default=1, metavar="N", help="which page, where one does not hold all"
        )
        self.ruled = Parser(add_help=False)
        self.ruled.add_argument("--rule", action="append", metavar="RULE", help="only this rule; may be repeated")
        self.ruled.add_argument(
            "--out", type=Path, required=True, metavar="FILE.html", help="the page; it needs no other file"
        )
        self.cloud = Parser(add_help=False)
        for name, what in _SETTINGS.items():
            self.cloud.add_argument(f"--{name}", help=f"{what} (default: the project's)")
        self.runs = Parser(add_help=False)
        runs = "folder of run folders (default: imgprep-work/runs)"
        self.runs.add_argument("--runs", type=Path, metavar="DIR", help=runs)


def make_parser() -> Parser:
    """Return the parser; each command's function is in ``run``."""
    parser = Parser(
        prog="imgprep",
        description="Prepare and audit product images for Alibaba Cloud Image Search batch operations.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"imgprep {__version__}")
    sub = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    shared = _Shared()

    def command(name: str, *parents: Parser) -> Parser:
        run = getattr(commands, name)
        text = str(run.__doc__).rstrip(".")
        short = text[0].lower() + text[1:]
        made = sub.add_parser(name, parents=[shared.all, *parents], help=short, description=f"{text}.")
        made.set_defaults(run=run, parser=made)
        return made

    for stage in (_look, _make, _send, _account, _rest):  # in the order of the path, which is that of the help
        stage(command, shared)
    return parser


def _look(command: Callable[..., Parser], has: _Shared) -> None:
    """What is there, and what is wrong with it."""
    demo = command("demo")
    demo.add_argument("--out", type=Path, default=Path("demo-out"), metavar="DIR", help="where (default: demo-out)")

    init = command("init")
    init.add_argument("folder", type=Path, nargs="?", default=Path(), metavar="DIR", help="default: this one")

    check = command("check", has.catalogue, has.naming, has.drawn)
    check.add_argument("--images", type=Path, metavar="DIR", help=f"{_IMAGES}; without any only rows")
    check.add_argument("--summary", action="store_true", help="one line a rule instead of one a finding")

    command("look", has.catalogue, has.naming, has.images, has.drawn, has.ruled, has.paged)

    told = command("feedback", has.catalogue, has.naming, has.images, has.drawn, has.ruled)
    told.add_argument(
        "--by",
        default="folder",
        metavar="PATTERN",
        help="group by folder, or by a regular expression's first group, such as ^([a-z]+)- (default: folder)",
    )

    twins = command("duplicates", has.catalogue, has.naming, has.images, has.paged)
    twins.add_argument("--out", type=Path, metavar="FILE.html", help="show them side by side on this page")

    fetch = command("fetch", has.catalogue)
    fetch.add_argument(
        "--into", type=Path, required=True, metavar="DIR", help="folder of the files; what is there stays"
    )
    fetch.add_argument("--column", metavar="NAME", help="the column of URLs (default: that of the images)")

    match = command("match", has.catalogue, has.images)
    match.add_argument(
        "--pattern", action="append", metavar="P", help="such as {ProductId}_{n}; may be repeated (default: the usual)"
    )
    match.add_argument("--earlier", type=Path, metavar="DIR", help="folder of the catalogue's own images, for likeness")
    match.add_argument("--within", metavar="SUBFOLDER", help="match only what lies in this folder below --images")
    match.add_argument("--map", type=Path, metavar="FILE", help="keep the map here; what a person decided in it stays")
    match.add_argument("--out", type=Path, metavar="FILE.parquet", help="write the catalogue with the files here")


def _make(command: Callable[..., Parser], has: _Shared) -> None:
    """From photographs and an export to a batch folder."""
    prepare = command("prepare", has.catalogue, has.naming, has.images)
    prepare.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the copies")
    prepare.add_argument("--dry-run", action="store_true", help="say what would change, write nothing")

    build = command("build", has.catalogue, has.naming, has.drawn, has.images)
    build.add_argument(
        "--known",
        type=Path,
        nargs="+",
        action="extend",
        metavar="RUNS_OR_DUMP",
        help="what the gallery holds by now: run folders, folders of runs, exports of it (the newest counts)",
    )
    build.add_argument("--delete-missing", action="store_true", help="DELETE what the catalogue lacks")
    build.add_argument("--keep-refused", action="store_true", help="send what check expects to be refused, too")
    build.add_argument("--last", type=Path, metavar="EXPORT", help="the last export (default: that of the newest run)")
    build.add_argument("--confirm-rows", type=int, metavar="N", help="the export's rows, where its collapse is meant")
    build.add_argument("--confirm", metavar="INSTANCE", help="the instance's name, typed, where much is deleted")
    build.add_argument("--out", type=Path, required=True, metavar="BATCH", help="folder of the batch")

    regions = command("regions")
    regions.add_argument(
        "others",
        type=Path,
        nargs="*",
        metavar="STORE_OR_FILE",
        help="other people's stores, files of regions (.csv, COCO .json, .meta), to bring in; without any: list",
    )
    regions.add_argument("--into", type=Path, metavar="DB", help="the store that receives (default: the project's)")
    regions.add_argument("--who", metavar="NAME", help="signs what comes from files (default: the file's name)")
    regions.add_argument("--conflicts", action="store_true", help="list what people decided differently, nothing else")

    compare = command("compare", has.reading)
    compare.add_argument("last", type=Path, metavar="OLD", help="the last export")
    compare.add_argument("this", type=Path, metavar="NEW", help="this export")
    compare.add_argument("--all", action="store_true", help="also what is the same")
    compare.add_argument("--products", action="store_true", help="which products went, came and changed, and in what")
    compare.add_argument("--picture", type=Path, metavar="FILE.png", help="draw it")


def _send(command: Callable[..., Parser], has: _Shared) -> None:
    """From a batch folder to the gallery."""
    upload = command("upload", has.cloud, has.runs)
    upload.add_argument("batch", type=Path, metavar="BATCH", help="the folder that imgprep build made")
    upload.add_argument("--dry-run", action="store_true", help="say what would be sent, send nothing")
    upload.add_argument(
        "--processes", type=int, default=1, metavar="N", help="send from so many processes (default: 1)"
    )
    upload.add_argument("--replace", action="store_true", help="replace an increment.meta of unknown origin")

    preflight = command("preflight", has.cloud)
    preflight.add_argument("batch", type=Path, nargs="?", metavar="BATCH", help="a batch folder that was uploaded")

    submit = command("submit", has.cloud, has.runs)
    submit.add_argument("batch", type=Path, metavar="BATCH", help="the folder that imgprep build made")
    submit.add_argument(
        "--wait",
        nargs="?",
        type=float,
        const=True,
        default=False,
        metavar="SECONDS",
        help="wait for a task that runs on the instance, instead of giving up",
    )
    submit.add_argument("--yes", metavar="INSTANCE", help="the instance's name, typed: refused where it is another")
    submit.add_argument(
        "--now",
        action="store_true",
        help="do not wait after a request whose answer was lost, though it may still start a task; in production the "
        "instance's name is to be typed, or given by --yes",
    )
    submit.add_argument("--no-follow", action="store_true", help="do not wait for the task's end")
    submit.add_argument(
        "--by-hand", action="store_true", help="without rights to the API: print what to do in the console"
    )

    follow = command("follow", has.cloud, has.runs)
    follow.add_argument("run_folder", type=Path, nargs="?", metavar="RUN", help="default: every run that is not ended")

    close = command("close")
    close.add_argument("run_folder", type=Path, metavar="RUN")
    close.add_argument("--message", metavar="TEXT", help="the task's Error Message in the console, or FAIL")
    close.add_argument("--report", type=Path, metavar="FILE", help="the downloaded file of failure causes")
    close.add_argument(
        "--ignore-unmatched",
        action="store_true",
        help="the report's entries that name no line are about none (read them first): the other lines are imported",
    )


def _account(command: Callable[..., Parser], has: _Shared) -> None:
    """What became of the lines."""
    report = command("report")
    report.add_argument("run_folders", type=Path, nargs="+", metavar="RUN", help="run folders, as submit names them")
    report.add_argument("--report", type=Path, metavar="FILE", help="close the (one) run from this error report")
    report.add_argument("--html", type=Path, metavar="FILE", help="write the page here (one run)")
    report.add_argument("--images", type=Path, metavar="DIR", help=f"for small pictures: {_IMAGES}")

    retry = command("retry", has.reading, has.drawn, has.images)
    retry.add_argument("run_folder", type=Path, metavar="RUN")
    retry.add_argument(
        "--catalogue", type=Path, metavar="CATALOGUE", help="today's export (default: the run's own rows)"
    )
    retry.add_argument("--out", type=Path, required=True, metavar="BATCH")

    undo = command("undo")
    undo.add_argument("run_folder", type=Path, metavar="RUN")
    undo.add_argument(
        "--images", type=Path, nargs="+", action="extend", default=[], metavar="DIR", help="folders of images as sent"
    )
    undo.add_argument("--later", action="store_true", help="take back the runs that came after it, too")
    undo.add_argument("--confirm", metavar="INSTANCE", help="the instance's name, typed, where much is deleted")
    undo.add_argument("--out", type=Path, required=True, metavar="BATCH")

    trace = command("trace", has.runs)
    trace.add_argument("product_id", metavar="PRODUCT", help="the ProductId, as sent")

    review = command("review", has.runs)
    review.add_argument("--month", metavar="YYYY-MM", help="default: the month of the last run")
    review.add_argument("--source", default="source", metavar="COLUMN", help="who took a picture (default: source)")
    review.add_argument(
        "--table", choices=REVIEW_TABLES, default=REVIEW_TABLES[0], help=f"which table (default: {REVIEW_TABLES[0]})"
    )
    review.add_argument("--html", type=Path, metavar="FILE", help="write the page here, with its charts")


def _rest(command: Callable[..., Parser], has: _Shared) -> None:
    """Tasks, rights and the sandbox."""
    command("tasks", has.cloud, has.runs)
    adopt = command("adopt", has.cloud, has.runs)
    adopt.add_argument("task", metavar="TASK", help="the task's number, from imgprep tasks")
    dump = command("dump", has.cloud)
    dump.add_argument("--into", type=Path, metavar="DIR", help="keep it here (default: imgprep-work/dumps)")
    policy = command("policy", has.cloud)
    policy.add_argument("--document", choices=["trust", "role", "uploader"], help="only this document, as JSON")

    sandbox = command("sandbox")
    sandbox.add_argument("--root", type=Path, metavar="DIR", help="keep its state here (default: a temporary folder)")
    sandbox.add_argument("--port", type=int, default=0, metavar="N", help="default: any free port")
