"""Argument parser: commands, options, and help."""

from __future__ import annotations

import argparse
import re
import shutil
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from imgprep import __version__
from imgprep.core.fields import Service
from imgprep.core.settings import is_oss
from imgprep.core.text import nearest

#: argparse's message since Python 3.11; quoting of choices depends on the version.
_CHOICE = re.compile(r"invalid choice: '(.+?)' \(choose from (.*)\)", re.S)


class Parser(argparse.ArgumentParser):
    """Argument parser whose error messages suggest the option or command that was probably meant."""

    _words: Sequence[str] = ()

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse known arguments; keep the given words for error messages."""
        self._words = [] if args is None else [word for word in args if isinstance(word, str)]
        return super().parse_known_args(args, namespace)

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse arguments; unknown ones are reported by the command they were given to, with its own options."""
        found, unknown = self.parse_known_args(args, namespace)
        if unknown:
            owner: Parser = getattr(found, "parser", self)
            hint = owner.suggestion(unknown)
            owner.error(f"unknown arguments: {' '.join(unknown)}{'; ' + hint if hint else ''}")
        return found

    def error(self, message: str) -> NoReturn:
        """Print the error with a suggestion and exit with code 2."""
        if found := _CHOICE.search(message):
            near = nearest(found[1], re.findall(r"[\w.-]+", found[2]))
            hint = f"did you mean {near}?" if near else f"choose from {found[2]}"
            message = f"{message[: found.start()]}unknown choice {found[1]!r}; {hint}"
        elif message.endswith("required: COMMAND"):
            message = f"{message}; `{self.prog} --help` lists them"
        elif "required" in message and (hint := self.suggestion(self._words)):
            message = f"{message}; {hint}"
        super().error(message)

    def suggestion(self, words: Sequence[str]) -> str:
        """Return suggestions for words that this parser does not accept."""
        options = [option for action in self._actions for option in action.option_strings]
        given = [word.partition("=")[0] for word in words if word.startswith("--")]
        unknown = [word for word in given if not any(option.startswith(word) for option in options)]
        return " ".join(f"did you mean {near} for {word}?" for word in unknown if (near := nearest(word, options)))


_EPILOG = """\
Exit codes: 0 fine; 1 findings of severity error, or failed lines; 2 unusable input, configuration or access;
3 partly done or outcome unknown, safe to repeat; 4 the task ended without a result (failed, cancelled): look before
repeating.

Options go after the command: imgprep check --project my-shop. `imgprep COMMAND --help` lists them.
Settings come from arguments, then IMGPREP_… variables, then imgprep.toml in the folder (or --project).
Credentials come from the vendors' own variables and chains only: OSS_ACCESS_KEY_ID, OSS_ACCESS_KEY_SECRET,
ALIBABA_CLOUD_ACCESS_KEY_ID, ALIBABA_CLOUD_ACCESS_KEY_SECRET and their tokens.
"""
#: Step → command → example. Every command is in one step; `imgprep --help` lists them so.
STEPS: dict[str, dict[str, str]] = {
    "Start": {
        "demo": "imgprep demo --out demo-out",
        "init": "imgprep init my-shop --catalogue export.csv --images photos",
        "lab": "imgprep lab --project my-shop",
        "week": "imgprep week --delete-missing",
        "completion": 'eval "$(imgprep completion bash)"',
    },
    "Load": {
        "compare": "imgprep compare last.csv export.csv --products",
        "fetch": "imgprep fetch export.csv --into photos",
        "match": "imgprep match export.csv --images photos --pattern '{ProductId}_{n}' --map map.jsonl",
    },
    "Look": {
        "check": "imgprep check export.csv --images photos",
        "look": "imgprep look export.csv --images photos --out findings.html",
        "duplicates": "imgprep duplicates export.csv --images photos --out duplicates.html",
        "feedback": "imgprep feedback export.csv --images photos --by folder --out faults.html",
    },
    "Fix": {"prepare": "imgprep prepare export.csv --images photos --out copies"},
    "Draw": {"regions": "imgprep regions ann.sqlite bo.csv"},
    "Plan": {
        "plan": "imgprep plan export.csv --images photos --known imgprep-work/runs",
        "build": "imgprep build export.csv --images photos --known imgprep-work/runs --out batch",
    },
    "Ship": {
        "policy": "imgprep policy",
        "calibrate": "imgprep calibrate --dry-run",
        "preflight": "imgprep preflight batch",
        "upload": "imgprep upload batch",
        "submit": "imgprep submit batch",
        "follow": "imgprep follow",
        "tasks": "imgprep tasks",
        "adopt": "imgprep adopt 1234",
        "dump": "imgprep dump",
        "sandbox": "imgprep sandbox --root sandbox",
    },
    "Reconcile": {
        "report": "imgprep report imgprep-work/runs/RUN --html report.html",
        "close": "imgprep close imgprep-work/runs/RUN --report causes.csv",
        "verify": "imgprep verify --sample 400",
        "retry": "imgprep retry imgprep-work/runs/RUN --out retry",
        "undo": "imgprep undo imgprep-work/runs/RUN --images batch/images --out undo",
        "findability": "imgprep findability --by brand --html worst.html",
        "what-if": "imgprep what-if p1.jpg p2.jpg --images photos",
        "trace": "imgprep trace CL-0001",
        "review": "imgprep review --html month.html",
        "runs": "imgprep runs",
    },
}
_SETTINGS = {
    "region": "region of bucket and instance, such as cn-shanghai",
    "bucket": "the OSS bucket's name",
    "path": "folder in the bucket, such as /increment",
    "instance": "the Image Search instance's name, not its id",
    "role-arn": "RAM role with which the service reads the bucket",
    "oss-endpoint": "address of OSS (default: the region's)",
    "imagesearch-endpoint": "address of Image Search (default: the region's)",
}
_ROOT = "folder or zip archive of the images, or oss://BUCKET/FOLDER"
_IMAGES = f"{_ROOT} (default: the project's)"
#: Days after which `imgprep runs --prune` considers a batch old.
OLD_DAYS = 90.0
_NAME = "the instance's name"
_RUN = "run folder, or its name in --runs"
_STALE = "send the batch although the gallery has changed since it was planned"
REVIEW_TABLES = ("funnel", "coverage", "backlog", "findable", "sources", "better", "searched", "findings")


def root(text: str) -> Path | str:
    """Return the folder, archive or address in OSS that an argument names."""
    return text if is_oss(text) else Path(text)


def _old(parser: Parser, name: str, **options: Any) -> None:
    """Accept an option's earlier name, which help does not list."""
    parser.add_argument(name, help=argparse.SUPPRESS, **options)


class _Shared:
    """Options shared by several commands, as parent parsers."""

    def __init__(self) -> None:
        kinds = [str(kind) for kind in Service]
        export = "CSV, TSV, Excel, Parquet or JSON Lines (default: the project's)"
        near = "accept files whose name differs from PicName in case, Unicode form, slashes, extension or folder"
        runs = "folder of run folders (default: imgprep-work/runs)"
        self.all = Parser(add_help=False)
        self.all.add_argument("-v", "--verbose", action="store_true", help="log each step")
        self.all.add_argument(
            "--project", type=Path, metavar="DIR", help="folder of imgprep.toml (default: current folder)"
        )
        forms = ["table", "csv", "json"]
        self.all.add_argument("--format", choices=forms, default=forms[0], help="output format of lists")
        self.reading = Parser(add_help=False)
        self.reading.add_argument("--preset", help="how to read the export (default: auto)")
        columns = "column map (default: the project's)"
        self.reading.add_argument("--columns", type=Path, metavar="MAP.toml", help=columns)
        sheets = "workbook sheet: its name, its number, or all (sheets of the same shape)"
        self.reading.add_argument("--sheet", metavar="NAME", help=sheets)
        rows = "only these rows, such as \"status = 'active' and stock > 0\""
        self.reading.add_argument("--where", metavar="CONDITION", help=rows)
        first = "of products that share an image, keep only the first that the shop shows"
        self.reading.add_argument("--one-product", action="store_true", default=None, help=first)
        self.reading.add_argument("--service", choices=kinds, help="service type of the instance")
        self.catalogue = Parser(add_help=False, parents=[self.reading])
        self.catalogue.add_argument("catalogue", type=Path, nargs="?", metavar="CATALOGUE", help=export)
        self.depth = Parser(add_help=False)
        text = "how deeply to inspect images (default: decode; header in OSS, where decode reads every byte)"
        self.depth.add_argument("--tier", choices=("stat", "header", "decode", "strict"), help=text)
        self.images = Parser(add_help=False)
        self.images.add_argument("--images", type=root, metavar="DIR", help=_IMAGES)
        self.cluster = Parser(add_help=False)
        where = "work on images on a Dask cluster: tcp://HOST:8786, or local:N for N workers on this machine"
        self.cluster.add_argument("--cluster", metavar="ADDRESS", help=f"{where} (default: the project's)")
        self.naming = Parser(add_help=False)
        self.naming.add_argument("--near-names", action="store_true", help=near)
        self.photographs = (self.catalogue, self.naming, self.images, self.cluster)
        self.drawn = Parser(add_help=False)
        either = self.drawn.add_mutually_exclusive_group()
        either.add_argument("--regions", type=Path, metavar="DB", help="region store (default: the project's)")
        either.add_argument("--no-regions", action="store_true", help="ignore regions, even the project's")
        self.planned = Parser(add_help=False)
        self.planned.add_argument(
            "--known",
            type=Path,
            nargs="+",
            action="extend",
            metavar="RUNS_OR_DUMP",
            help="what the gallery holds: run folders, folders of runs, checks, gallery exports (the newest is used)",
        )
        self.deleting = Parser(add_help=False)
        self.deleting.add_argument("--confirm", metavar="INSTANCE", help=f"{_NAME}, to confirm many deletions")
        self.changing = Parser(add_help=False, parents=[self.deleting])
        self.changing.add_argument(
            "--delete-missing", action="store_true", help="DELETE what the catalogue no longer has"
        )
        self.changing.add_argument(
            "--last", type=Path, metavar="EXPORT", help="the last export (default: that of the newest run)"
        )
        rows = "the export's number of rows, to confirm a collapse or many exclusions"
        self.changing.add_argument("--confirm-rows", type=int, metavar="N", help=rows)
        self.asking = Parser(add_help=False)
        requests = "the number of requests, to confirm more than 1,000"
        self.asking.add_argument("--confirm-requests", dest="confirm", type=int, metavar="N", help=requests)
        _old(self.asking, "--confirm", dest="confirm", type=int)
        self.named = Parser(add_help=False)
        self.named.add_argument("--confirm", metavar="INSTANCE", help=f"{_NAME}; another name is refused")
        _old(self.named, "--yes", dest="confirm")
        self.closing = Parser(add_help=False)
        change = f"{_NAME}, to confirm a change of the outcomes of a run that has ended"
        self.closing.add_argument("--confirm", metavar="INSTANCE", help=change)
        self.paged = Parser(add_help=False)
        self.paged.add_argument("--page", type=int, default=1, metavar="N", help="page number, if there are several")
        self.ruled = Parser(add_help=False)
        self.ruled.add_argument("--rule", action="append", metavar="RULE", help="only this rule; may be repeated")
        self.ruled.add_argument("--out", type=Path, required=True, metavar="FILE.html", help="the page, self-contained")
        self.cloud = Parser(add_help=False)
        for name, what in _SETTINGS.items():
            self.cloud.add_argument(f"--{name}", help=f"{what} (default: the project's)")
        self.runs = Parser(add_help=False)
        self.runs.add_argument("--runs", type=Path, metavar="DIR", help=runs)
        self.run = Parser(add_help=False, parents=[self.runs])
        self.run.add_argument("run_folder", type=Path, metavar="RUN", help=_RUN)
        self.batch = Parser(add_help=False)
        self.batch.add_argument("--out", type=Path, required=True, metavar="BATCH", help="folder of the batch")


class _ByStep(argparse.RawDescriptionHelpFormatter):
    """Leaves the commands out of the list of arguments: the description lists them by step."""

    def _format_action(self, action: argparse.Action) -> str:
        return "" if isinstance(action.choices, dict) else super()._format_action(action)


def _sample(text: str) -> int | str:
    return text if text == "all" else int(text)


def make_parser() -> Parser:
    """Return the parser; `run` names each command's function, so that only the one called is imported."""
    parser = Parser(prog="imgprep", usage="imgprep COMMAND …", formatter_class=_ByStep)
    parser.add_argument("--version", action="version", version=f"imgprep {__version__}")
    sub = parser.add_subparsers(title="commands", required=True, metavar="COMMAND", prog="imgprep")
    shared, texts = _Shared(), {}
    examples = {name: example for step in STEPS.values() for name, example in step.items()}

    def command(name: str, module: str, text: str, *parents: Parser) -> Parser:
        texts[name] = text
        made = sub.add_parser(
            name,
            parents=[shared.all, *parents],
            help=text,
            description=text,
            epilog=f"Example:\n  {examples[name]}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        made.set_defaults(run=f"imgprep.cli.commands.{module}:{name.replace('-', '_')}", parser=made)
        return made

    for stage in (_look, _make, _send, _account, _rest):
        stage(command, shared)
    parser.description = "\n".join(
        ["Prepare and audit product images for Alibaba Cloud Image Search batch operations."]
        + [line for step, names in STEPS.items() for line in _step_lines(step, names, texts)]
    )
    parser.epilog = _EPILOG
    return parser


def _step_lines(step: str, names: Iterable[str], texts: Mapping[str, str]) -> list[str]:
    """Return the help of a step: its name, and each of its commands with a line of text."""
    width = max(40, shutil.get_terminal_size((100, 24)).columns - 14)
    lines = ["", f"{step}:"]
    for name in names:
        first, *rest = textwrap.wrap(texts[name][0].lower() + texts[name][1:].rstrip("."), width)
        lines += [f"  {name:<11} {first}", *(f"{'':<14}{line}" for line in rest)]
    return lines


def _look(command: Callable[..., Parser], has: _Shared) -> None:
    """Add the commands that inspect the images and the catalogue."""
    demo = command("demo", "rehearse", "Run the whole workflow on the demo catalogue and its own sandbox.")
    demo.add_argument(
        "--out", type=Path, default=Path("demo-out"), metavar="DIR", help="output folder (default: demo-out)"
    )

    init = command("init", "plan", "Create a project folder: imgprep.toml and the notebooks.")
    init.add_argument(
        "folder",
        type=Path,
        nargs="?",
        default=Path(),
        metavar="DIR",
        help="folder of the project (default: the current folder)",
    )
    text = "the export; imgprep.toml then names it, with suggested columns"
    init.add_argument("--catalogue", type=Path, metavar="EXPORT", help=text)
    init.add_argument("--images", type=root, metavar="DIR", help=f"{_ROOT}; imgprep.toml then names it")
    lab = command(
        "lab", "plan", "Open JupyterLab on the project's start page, which explains what each notebook is for."
    )
    lab.add_argument("jupyter", nargs="*", metavar="OPTION", help="options of `jupyter lab`, after --")

    text = "Check every row and every image against the service's rules."
    check = command("check", "plan", text, has.catalogue, has.naming, has.drawn, has.depth, has.cluster)
    check.add_argument("--images", type=root, metavar="DIR", help=f"{_IMAGES}; without images, only rows are checked")
    listed = check.add_mutually_exclusive_group()
    listed.add_argument("--summary", action="store_true", help="one line per rule")
    listed.add_argument(
        "--all", action="store_true", help="one line per finding, errors first (csv and json always have one)"
    )

    text = "Write a page of the findings, each with its image."
    command("look", "look", text, *has.photographs, has.depth, has.drawn, has.ruled, has.paged)

    text = "Write a printable sheet of faults for the people who make the images."
    sheet = command("feedback", "look", text, *has.photographs, has.depth, has.drawn, has.ruled)
    text = "how to group the images: folder, or a regular expression with one group"
    sheet.add_argument("--by", default="folder", metavar="PATTERN", help=text)

    text = "List identical and nearly identical images, those shared by several products first."
    doubles = command("duplicates", "look", text, *has.photographs, has.paged)
    doubles.add_argument("--out", type=Path, metavar="FILE.html", help="write a page that shows them side by side")

    fetch = command("fetch", "plan", "Download images that the catalogue names by URL.", has.catalogue)
    fetch.add_argument("--into", type=Path, required=True, metavar="DIR", help="target folder; existing files are kept")
    fetch.add_argument("--column", metavar="NAME", help="column of URLs (default: the image column)")
    fetch.add_argument("--private", action="store_true", help="also fetch from this machine and private networks")

    text = "Find the product of each file in a folder; save the map, and the catalogue with the files."
    match = command("match", "plan", text, has.catalogue, has.images, has.cluster)
    match.add_argument("--pattern", action="append", metavar="P", help="such as {ProductId}_{n}; may be repeated")
    text = "the catalogue's own images, to match by similarity: folder, zip archive, or oss://BUCKET/FOLDER"
    match.add_argument("--earlier", type=root, metavar="DIR", help=text)
    match.add_argument("--within", metavar="SUBFOLDER", help="match only the files in this subfolder of --images")
    match.add_argument("--map", type=Path, metavar="FILE", help="save the map here; decisions already in it are kept")
    match.add_argument("--out", type=Path, metavar="FILE.parquet", help="write the catalogue with matched files here")


def _make(command: Callable[..., Parser], has: _Shared) -> None:
    """Add the commands that make a batch folder from images and an export."""
    prepare = command("prepare", "plan", "Make service-ready copies of images, with a log.", *has.photographs)
    prepare.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the copies")
    prepare.add_argument("--dry-run", action="store_true", help="show what would change; write nothing")

    text = "Show what a batch would add, replace, delete, exclude and carry over; write nothing."
    plan = command("plan", "plan", text, *has.photographs, has.depth, has.drawn, has.planned, has.changing)
    plan.add_argument("--lines", action="store_true", help="one line per row instead of one per reason")

    text = "Make a batch folder: increment.meta, its tables, and images."
    parents = (*has.photographs, has.depth, has.drawn, has.planned, has.changing, has.batch)
    build = command("build", "plan", text, *parents)
    build.add_argument("--keep-refused", action="store_true", help="also send rows that check expects to be refused")
    text = "build N batch folders (default: one per million rows) from an export of any size, without its images"
    build.add_argument("--parts", type=int, nargs="?", const=0, metavar="N", help=text)
    text = "with --parts: facts about the images, from ip.inspect_images(…, out=FILE)"
    build.add_argument("--facts", type=Path, metavar="FILE.parquet", help=text)

    week = command(
        "week",
        "plan",
        "Do the week's work up to sending: load, compare with the last export, check, plan. Sends nothing.",
        has.catalogue,
        has.naming,
        has.drawn,
        has.images,
        has.depth,
        has.cluster,
        has.changing,
    )
    week.add_argument("--out", type=Path, metavar="BATCH", help="folder of the batch (default: imgprep-work/week)")

    regions = command("regions", "draw", "List the subject regions, or merge those of other people.")
    text = "region stores or files (.csv, .tsv, .xlsx, .json, .meta) to merge; if none are given, list the regions"
    regions.add_argument("others", type=Path, nargs="*", metavar="STORE_OR_FILE", help=text)
    regions.add_argument("--into", type=Path, metavar="DB", help="the store to merge into (default: the project's)")
    regions.add_argument("--who", metavar="NAME", help="author of regions from files (default: the file's name)")
    regions.add_argument("--conflicts", action="store_true", help="list only conflicting decisions")

    text = "Compare an export with the last one: rows, products, columns, categories."
    compare = command("compare", "look", text, has.reading)
    compare.add_argument("last", type=Path, metavar="OLD", help="the last export")
    compare.add_argument("this", type=Path, metavar="NEW", help="this export")
    compare.add_argument("--all", action="store_true", help="also list what is unchanged")
    compare.add_argument("--products", action="store_true", help="list products removed, added and changed")
    compare.add_argument("--picture", type=Path, metavar="FILE.png", help="write a chart")


def _send(command: Callable[..., Parser], has: _Shared) -> None:
    """Add the commands that send a batch folder to the gallery."""
    upload = command(
        "upload",
        "ship",
        "Upload a batch folder: images first, verified, then increment.meta.",
        has.cloud,
        has.runs,
        has.cluster,
        has.deleting,
    )
    upload.add_argument("batch", type=Path, metavar="BATCH", help="batch folder, from imgprep build")
    text = "images of a batch built in parts: folder, or oss://BUCKET/FOLDER (default: those in the batch folder)"
    upload.add_argument("--images", type=root, metavar="DIR", help=text)
    upload.add_argument("--dry-run", action="store_true", help="show what would be sent; send nothing")
    upload.add_argument("--processes", type=int, default=1, metavar="N", help="number of upload processes (default: 1)")
    upload.add_argument("--replace", action="store_true", help="replace an increment.meta of unknown origin")
    stale = upload.add_mutually_exclusive_group()
    stale.add_argument("--replan", action="store_true", help="first plan the batch again against the current gallery")
    stale.add_argument("--stale-ok", action="store_true", help=_STALE)

    preflight = command("preflight", "ship", "Check everything that a batch task needs; change nothing.", has.cloud)
    preflight.add_argument("batch", type=Path, nargs="?", metavar="BATCH", help="an uploaded batch folder")

    submit = command("submit", "ship", "Start the batch task and create a run folder.", has.cloud, has.runs, has.named)
    submit.add_argument("batch", type=Path, metavar="BATCH", help="batch folder, from imgprep build")
    text = "wait for a task that is running on the instance instead of stopping"
    submit.add_argument("--wait", nargs="?", type=float, const=True, default=False, metavar="SECONDS", help=text)
    submit.add_argument(
        "--now",
        action="store_true",
        help="do not wait after a request whose answer was lost, although it may still start a task; in production, "
        "the instance's name must be typed or given with --confirm",
    )
    submit.add_argument("--stale-ok", action="store_true", help=_STALE)
    submit.add_argument(
        "--again", action="store_true", help="start another task even if the batch has already been submitted"
    )
    submit.add_argument("--no-follow", action="store_true", help="do not wait for the task to end")
    submit.add_argument("--by-hand", action="store_true", help="print the steps for the console (no API access)")

    follow = command(
        "follow", "ship", "Follow a run's task until it ends and save its error report.", has.cloud, has.runs
    )
    follow.add_argument(
        "run_folder", type=Path, nargs="?", metavar="RUN", help=f"{_RUN} (default: every run that has not ended)"
    )

    close = command(
        "close", "ship", "Close a run with the result that the console shows for its task.", has.run, has.closing
    )
    close.add_argument("--message", metavar="TEXT", help="the task's error message in the console, or FAIL, CANCELLED")
    close.add_argument("--report", type=Path, metavar="FILE", help="the downloaded file of failure causes")
    text = "ignore report entries that match no line (read them first): the other lines count as imported"
    close.add_argument("--ignore-unmatched", action="store_true", help=text)


def _account(command: Callable[..., Parser], has: _Shared) -> None:
    """Add the Reconcile commands: the outcome of every line."""
    report = command(
        "report", "outcomes", "Show outcomes and causes of runs; write an HTML page.", has.runs, has.closing
    )
    report.add_argument("run_folders", type=Path, nargs="+", metavar="RUN", help=_RUN)
    report.add_argument("--report", type=Path, metavar="FILE", help="close the run from this error report (one run)")
    report.add_argument("--html", type=Path, metavar="FILE", help="write the page here (one run)")
    report.add_argument("--images", type=root, metavar="DIR", help=f"for thumbnails: {_IMAGES}")
    report.add_argument(
        "--failed",
        type=Path,
        metavar="FILE.xlsx",
        help="write the failed and unknown lines here, with remedies and the export's columns (.xlsx, .csv, .tsv)",
    )

    runs = command(
        "runs",
        "outcomes",
        "List runs with gallery, author, age and size; remove images of old batches.",
        has.runs,
    )
    runs.add_argument("batches", type=Path, nargs="*", metavar="BATCH", help="batch folders outside the project")
    runs.add_argument(
        "--prune",
        action="store_true",
        help="remove image copies from old batch folders; runs and files that imgprep did not write are kept",
    )
    runs.add_argument(
        "--older-than",
        type=float,
        default=OLD_DAYS,
        metavar="DAYS",
        help=f"age in days from which a run counts as old (default: {OLD_DAYS:.0f})",
    )
    runs.add_argument("--dry-run", action="store_true", help="with --prune: show what would be removed; remove nothing")

    text = "Build a batch of the failed lines that can succeed now."
    retry = command(
        "retry", "outcomes", text, has.reading, has.drawn, has.images, has.depth, has.cluster, has.run, has.batch
    )
    retry.add_argument("--catalogue", type=Path, metavar="EXPORT", help="today's export (default: the run's rows)")

    undo = command("undo", "outcomes", "Build the batch that undoes a run.", has.run, has.deleting, has.batch)
    text = "folders and zip archives of the images as sent, or oss://BUCKET/FOLDER (default: the project's)"
    undo.add_argument("--images", type=root, nargs="+", action="extend", metavar="DIR", help=text)
    undo.add_argument("--later", action="store_true", help="also undo later runs")

    text = "Check whether the gallery holds the images as sent; settle unknown lines."
    verify = command("verify", "outcomes", text, has.cloud, has.runs, has.asking)
    text = "number of images to check, or all (default: enough for --margin and --confidence)"
    verify.add_argument("--sample", type=_sample, metavar="N", help=text)
    verify.add_argument("--confidence", type=float, default=0.95, metavar="SHARE", help="default: 0.95")
    text = "share of images not held as sent that the sample detects with this confidence (default: 0.01)"
    verify.add_argument("--margin", type=float, default=0.01, metavar="SHARE", help=text)
    verify.add_argument("--all", action="store_true", help="also list the images that the gallery holds as sent")
    verify.add_argument("--dry-run", action="store_true", help="show the number of requests and the time; send none")

    text = "Search the gallery with its own images, and explain why some are not found."
    find = command("findability", "outcomes", text, has.cloud, has.runs, has.images, has.asking)
    find.add_argument("--sample", type=int, default=200, metavar="N", help="number of images (default: 200)")
    find.add_argument("--by", metavar="COLUMN", help="list the shares per value of this column; sample them equally")
    find.add_argument("--pairs", action="store_true", help="list the products that searches confuse")
    find.add_argument("--html", type=Path, metavar="FILE", help="write a page of the worst, with --images")
    _old(find, "--sheet", dest="html", type=Path)
    find.add_argument("--picture", type=Path, metavar="FILE.png", help="write a chart")
    find.add_argument("--dry-run", action="store_true", help="show the number of requests and the time; send none")

    text = "Compare the search results for the regions of images, those that the service detects, and whole images."
    ways = command("what-if", "outcomes", text, has.cloud, has.images, has.drawn, has.asking)
    ways.add_argument("names", nargs="+", metavar="NAME", help="images below --images")

    text = "Show why a product is found or not: its history over all runs."
    trace = command("trace", "outcomes", text, has.cloud, has.runs)
    trace.add_argument("--ask", action="store_true", help="also query the gallery for each image")
    trace.add_argument("product_id", metavar="PRODUCT", help="the ProductId, as sent")

    text = "Show a month in numbers: how much of the catalogue can be found, what fails, what improved."
    review = command("review", "outcomes", text, has.runs)
    review.add_argument("--month", metavar="YYYY-MM", help="default: the month of the last run")
    text = "column that names an image's source (default: source, photographer or supplier)"
    review.add_argument("--source", default="", metavar="COLUMN", help=text)
    review.add_argument("--table", choices=REVIEW_TABLES, default=REVIEW_TABLES[0], help="the table to show")
    review.add_argument("--html", type=Path, metavar="FILE", help="write the page here")


def _rest(command: Callable[..., Parser], has: _Shared) -> None:
    """Add the commands for tasks, rights, the sandbox and the shell."""
    completion = command("completion", "rehearse", "Print a script that completes commands and options in your shell.")
    completion.add_argument("shell", choices=["bash", "zsh", "tcsh"], metavar="SHELL", help="bash, zsh or tcsh")
    command("tasks", "ship", "List every batch task of the instance, including the console's.", has.cloud, has.runs)
    text = "Create a run for a task that was started elsewhere, such as in the console."
    adopt = command("adopt", "ship", text, has.cloud, has.runs)
    adopt.add_argument("task", metavar="TASK", help="the task's id, from `imgprep tasks`")
    dump = command("dump", "ship", "Export the gallery's content to a file for build --known.", has.cloud)
    dump.add_argument("--into", type=Path, metavar="DIR", help="output folder (default: imgprep-work/dumps)")
    text = "Measure on an instance what the vendor does not document, with a probe batch that is deleted afterwards."
    calibrate = command("calibrate", "outcomes", text, has.cloud, has.named)
    text = "test this point in a task of its own; all: those that might fail a whole task; may be repeated"
    calibrate.add_argument("--apart", action="append", default=[], metavar="POINT", help=text)
    calibrate.add_argument("--dry-run", action="store_true", help="list the questions and their cost; send nothing")
    text = "only delete what an interrupted calibration left"
    calibrate.add_argument("--clean", action="store_true", help=text)
    policy = command(
        "policy", "ship", "Print the RAM documents and the steps in the console to set them up.", has.cloud
    )
    policy.add_argument("--document", choices=["trust", "role", "uploader"], help="only this document, as JSON")

    sandbox = command("sandbox", "rehearse", "Run the local OSS and Image Search server in the foreground.")
    sandbox.add_argument("--root", type=Path, metavar="DIR", help="folder for its state (default: a temporary folder)")
    sandbox.add_argument("--port", type=int, default=0, metavar="N", help="default: any free port")
