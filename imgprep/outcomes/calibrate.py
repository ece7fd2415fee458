"""Calibrate: ask an instance what the vendor does not document, with a probe batch that is deleted afterwards."""

from __future__ import annotations

import hashlib
import json
import logging
import re
import secrets
import threading
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from imgprep.cloud.imagesearch import FAIL, SUCCESS, ImageSearch
from imgprep.cloud.oss import delete_objects, list_folder, open_bucket
from imgprep.cloud.put import Item, Sender
from imgprep.core.clock import Clock, SystemClock, stamp
from imgprep.core.errors import ConfigError, ImgprepError, ReportError, ServiceError, StorageError
from imgprep.core.fields import META_NAME, Operation
from imgprep.core.files import overwriting, replacing, require_ours
from imgprep.core.frames import records
from imgprep.core.lock import only_one
from imgprep.core.retry import Pace
from imgprep.core.service_facts import ServiceFacts
from imgprep.core.settings import HasSettings, Settings, settings_of
from imgprep.core.text import counted, did_you_mean, shown
from imgprep.meta.codec import dumps_meta
from imgprep.outcomes.questions import (
    BY_HAND,
    COMMON,
    CONTROLS,
    DELETE_CONTROL,
    REPORT_QUESTIONS,
    Evidence,
    Probe,
    Question,
    Seen,
    TaskSeen,
    line_text,
    plain,
    questions,
    severities,
)
from imgprep.plan.preview import ADDS_PER_SECOND, ADDS_PER_SECOND_SMALLEST, DELETES_PER_SECOND, SMALLEST_CAPACITY
from imgprep.ship.panel import check_confirmed, confirm_production
from imgprep.ship.report.causes import CauseTable, Family
from imgprep.ship.report.claims import role_of
from imgprep.ship.report.match import Outcome
from imgprep.ship.report.source import open_report
from imgprep.ship.run import Run
from imgprep.ship.submit import submit
from imgprep.ship.task_status import Meaning, meaning
from imgprep.ship.upload import PATIENCE, commit

_log = logging.getLogger(__name__)

FOLDER = "calibrate"
#: Beginning of the name of every probe's folder in the bucket, and of every probe's ProductId.
PREFIX = "imgprep-calibrate-"
#: The task that all ordinary questions share, the one that deletes for them, and the one that removes all products.
SHARED, DELETES, CLEAN = "shared", "deletes", "clean"
#: States of a point after `calibrate`.
SETTLED, UNDECIDED, NOT_ASKED, MANUAL = "settled", "undecided", "not asked", "by hand"
ANSWER_COLUMNS = ("point", "state", "question", "answer", "meaning", "evidence")
#: Seconds between two requests about an image that a task has just added or deleted, and maximum number of them.
AGAIN_SECONDS, AGAIN = 5.0, 12
#: Requests per task besides the lines' own: IncreaseInstance, IncreaseList, and increment.meta with its checks.
_PER_TASK = 12
REPORT = "report-redacted.txt"


@dataclass(frozen=True, slots=True)
class CalibrationPlan:
    """What `calibrate` would ask.

    Attributes
    ----------
    questions : pandas.DataFrame
        ``task`` (``shared``, the point's own, or NA), ``point``, ``question``, ``lines``, ``decides`` (the answers that
        the question can tell apart).
    lines, tasks, requests, seconds : int
        Totals; `seconds` is the minimum time at the vendor's rates, without the time to start a task.
    """

    questions: pd.DataFrame
    lines: int
    tasks: int
    requests: int
    seconds: int

    def __str__(self) -> str:
        minutes = max(1, round(self.seconds / 60))
        return (
            f"{counted(self.lines, 'line')} in {counted(self.tasks, 'task')}, {counted(self.requests, 'request')} "
            f"not counting status requests; at least {counted(minutes, 'minute')}, and the time that the "
            "service takes to start each task. During a task, the instance takes no other batch. Everything is deleted "
            "afterwards"
        )


@dataclass(frozen=True, repr=False)
class Calibration:
    """What `calibrate` found.

    Attributes
    ----------
    answers : pandas.DataFrame
        ``point, state`` (``settled``, ``undecided``, ``not asked``, ``by hand``)``, question, answer, meaning,
        evidence``.
    facts : Path
        The ``service-facts.toml``, which `check`, plans, `imgprep policy` and ``Sandbox(facts=…)`` use.
    report : Path or None
        The error report of the shared task without names, ids and links, to attach to a bug report.
    note : str
        What was deleted, and how that was checked.
    """

    answers: pd.DataFrame
    facts: Path
    report: Path | None
    note: str

    def __repr__(self) -> str:
        states = self.answers["state"].value_counts()
        return f"Calibration({', '.join(f'{states.get(state, 0)} {state}' for state in (SETTLED, UNDECIDED))})"


def plan_calibration(
    settings: HasSettings | Settings, *, apart: Iterable[str] = (), clock: Clock | None = None
) -> CalibrationPlan:
    """Return what `calibrate` would ask, and what that costs; only the instance's limits are requested."""
    settings = settings_of(settings)
    every, chosen = questions(settings.service), _chosen(settings.service, apart)
    detail = ImageSearch(settings, clock=clock).detail()
    small = detail.capacity is not None and detail.capacity <= SMALLEST_CAPACITY
    rows: list[dict[str, Any]] = []
    for question in every:
        in_shared = not question.apart and question.id not in chosen
        task = SHARED if in_shared else question.id if question.id in chosen else None
        count = len(question.probes) + len(question.deletes)
        decides = " or ".join(question.answers) if len(question.answers) <= 3 else f"one of {len(question.answers)}"
        rows.append({"task": task, "point": question.id, "question": question.asks, "lines": count, "decides": decides})
    rows += [
        {"task": SHARED, "point": point, "question": asks, "lines": 0, "decides": "its form"}
        for point, asks in REPORT_QUESTIONS.items()
    ]
    stages = _stages(settings, "", every, chosen)
    lines = [line for stage in stages for line in stage.lines]
    products, images = len({line.product for line in lines}), len({line.key for line in lines})
    adds, deletes = sum(line.operation == Operation.ADD for line in lines), products
    searches = 2 * images + 2
    sent = sum(len(stage.images) for stage in stages)
    tasks = len(stages) + 1
    requests = 2 * sent + _PER_TASK * tasks + searches + 4
    rate = ADDS_PER_SECOND_SMALLEST if small else ADDS_PER_SECOND
    seconds = adds / rate + deletes / DELETES_PER_SECOND + searches / max(1, detail.qps or 1) + _PER_TASK * tasks
    table = pd.DataFrame(rows).astype({"task": "str", "lines": "Int64"})
    return CalibrationPlan(table, len(lines) + products, tasks, requests, round(seconds))


def calibrate(
    settings: HasSettings | Settings,
    *,
    apart: Iterable[str] = (),
    confirm: str | None = None,
    only_clean: bool = False,
    progress: bool = True,
    clock: Clock | None = None,
) -> Calibration | None:
    """Ask the instance what the vendor does not document, and delete everything that was added for this.

    A batch of about 70 lines, with images drawn for it, goes to a folder of its own below the settings' path, under
    ProductIds of its own. The outcome of each line is read from the task, its error report, CheckImageExists and
    SearchImageByName. Then a task deletes the products, the objects are deleted, and both are checked to be gone. A
    journal in the project's work folder names everything before it is created: after an interruption, the next call
    first deletes what the interrupted one left.

    Parameters
    ----------
    settings : Project or Settings
        Instance, bucket and path. A spare instance is best: during a task, it takes no other batch.
    apart : iterable of str
        Points to ask in a task of their own. Some might make a whole task fail, so they are asked only if named here;
        see `plan_calibration`. ``all`` stands for all of those.
    confirm : str, optional
        The instance's name. If omitted, the user is asked to type it, unless the instance is a sandbox's.
    only_clean : bool
        Only delete what an interrupted call left, and return None.
    progress : bool
        Show the status of the tasks.
    clock : Clock, optional
        Injectable clock.

    Returns
    -------
    Calibration or None
        The answers, with their evidence. What the results do not show stays undecided. Answers of earlier calls that
        were not asked again are kept in ``service-facts.toml``.

    Raises
    ------
    ConfigError
        Not confirmed, an unknown point, or another gallery's calibration was interrupted.
    StorageError, ServiceError
        A request failed, or something could not be deleted. Repeat the call: it resumes the deletion.

    Notes
    -----
    Source: own; each question's possible answers are declared in `imgprep.outcomes.questions`.

    Examples
    --------
    >>> with ip.Sandbox(task_seconds=0, throttle=False, qps=1000, strict=["int32"]) as sandbox:
    ...     found = ip.calibrate(sandbox.settings, progress=False)
    ...     left = sandbox.gallery()
    >>> found.answers.set_index("point").loc["int32", "answer"], left
    ('refused', [])
    """
    settings, clock = settings_of(settings), clock or SystemClock()
    settings.require("instance", "bucket", "path")
    every, chosen = questions(settings.service), _chosen(settings.service, apart)
    require_ours(settings.facts_file)
    if confirm is None:
        confirm = confirm_production(settings)
    check_confirmed(settings, confirm)
    folder = settings.work / FOLDER
    with only_one(f"calibrate {settings.gallery}", file=folder / ".lock"):
        work = _Work(settings, folder, clock, progress=progress)
        work.clean_up()
        if only_clean:
            return None
        stages = _stages(settings, secrets.token_hex(4), every, chosen)
        work.begin(stages)
        try:
            found = work.ask(stages, every, chosen)
        except ImgprepError:
            try:
                work.clean_up()
            except ImgprepError as error:
                _log.warning("not everything is deleted yet; run the command again: %s", error)
            raise
        note = work.clean_up()
    return _written(settings, found, every, note, clock)


# What is sent


@dataclass(frozen=True, slots=True)
class _Line:
    probe: Probe
    operation: str
    product: str
    pic: str | None

    @property
    def key(self) -> tuple[str, str]:
        return self.product, self.pic or ""


@dataclass(frozen=True, slots=True)
class _Stage:
    """One task: its lines, and what is uploaded for them."""

    name: str
    path: str
    lines: tuple[_Line, ...]

    @property
    def prefix(self) -> str:
        return f"{self.path.strip('/')}/"

    @property
    def text(self) -> bytes:
        return "".join(
            line_text(line.probe, line.operation, line.product, line.pic or "") for line in self.lines
        ).encode()

    @property
    def images(self) -> dict[str, Probe]:
        """PicName → the probe whose image is stored under it."""
        adds = [line for line in self.lines if line.operation == Operation.ADD and line.probe.stored and line.pic]
        return {str(line.pic): line.probe for line in adds}

    def batch(self, digests: Mapping[str, str]) -> pd.DataFrame:
        """Return the batch frame, from which the report and the upload's check know the lines."""
        rows = [
            {
                "line": number,
                "OperationType": line.operation,
                "ProductId": line.product,
                "PicName": line.pic,
                "digest": digests.get(line.pic or ""),
                "file": line.pic,
                "expected": "imported" if line.probe.stored else "unknown",
            }
            for number, line in enumerate(self.lines, 1)
        ]
        names = ("OperationType", "ProductId", "PicName", "digest", "file", "expected")
        return pd.DataFrame(rows).astype({"line": "Int64", **dict.fromkeys(names, "str")})


def _chosen(service: str, apart: Iterable[str]) -> list[str]:
    """Return the points that get a task of their own."""
    known = {question.id: question for question in questions(service)}
    found: list[str] = []
    for point in apart:
        if point != "all" and point not in known:
            raise ConfigError(
                f"calibrate: unknown point {point!r}{did_you_mean(point, known)}; known: all, {', '.join(known)}"
            )
        found += [name for name, question in known.items() if question.apart] if point == "all" else [point]
    return list(dict.fromkeys(found))


def _stages(settings: Settings, ident: str, every: Sequence[Question], chosen: Collection[str]) -> list[_Stage]:
    """Return the tasks in order, without the one that removes everything."""
    root = f"/{settings.prefix}{PREFIX}{ident}"

    def stage(name: str, probes: Iterable[Probe], operation: str = Operation.ADD.value) -> _Stage:
        path = f"{root}/{name}"
        lines = []
        for probe in probes:
            product = f"{PREFIX}{ident}-{probe.like or probe.name}"
            pic = probe.fields.get("PicName", (probe.pic or f"{probe.name}.jpg").replace("{prefix}", f"{path[1:]}/"))
            lines.append(_Line(probe, probe.fields.get("OperationType", operation), product, pic or None))
        return _Stage(name, path, tuple(lines))

    shared = [question for question in every if not question.apart and question.id not in chosen]
    stages = [stage(SHARED, [*COMMON, *(probe for question in shared for probe in question.probes)])]
    deletes = [probe for question in shared for probe in question.deletes]
    stages.append(stage(DELETES, [DELETE_CONTROL, *deletes], Operation.DELETE.value))
    for question in every:
        if question.id in chosen:
            common = () if question.apart else COMMON
            stages.append(stage(question.id.replace("_", "-"), [*common, *question.probes]))
            if question.deletes:
                again = [DELETE_CONTROL, *question.deletes]
                stages.append(stage(f"{question.id.replace('_', '-')}-{DELETES}", again, Operation.DELETE.value))
    return stages


# Work on the instance


@dataclass(slots=True)
class _Found:
    """Answers, by point, and the error report of the shared task."""

    answers: dict[str, tuple[str, str, str]] = field(default_factory=dict)
    report: Path | None = None
    redacted: str = ""


class _Work:
    """Sends, asks and deletes; the journal names everything before it is created."""

    def __init__(self, settings: Settings, folder: Path, clock: Clock, *, progress: bool) -> None:
        self.settings, self.folder, self.clock, self.progress = settings, folder, clock, progress
        self.journal = folder / "journal.json"
        self.service = ImageSearch(settings, clock=clock)
        self.bucket = open_bucket(settings, patience=PATIENCE, clock=clock)
        self.held: int | None = None

    def begin(self, stages: Sequence[_Stage]) -> None:
        """Check that the calibration can be cleaned up, and write the journal."""
        root = f"{stages[0].path.rpartition('/')[0].strip('/')}/"
        try:
            delete_objects(self.bucket, [f"{root}nothing"])
        except StorageError as error:
            if error.code != "AccessDenied":
                raise
            raise ConfigError(
                f"calibrate: the access key may not delete objects, so nothing was sent: allow oss:DeleteObject on "
                f"acs:oss:*:*:{self.settings.bucket}/{root.partition(PREFIX)[0]}{PREFIX}* ({error})"
            ) from error
        if any(True for _ in list_folder(self.bucket, root)):
            raise ConfigError(f"calibrate: {self.settings.bucket}/{root} is not empty; run the command again")
        self.held = self.service.detail().held
        keys = dict.fromkeys(line.key for stage in stages for line in stage.lines)
        self._write(
            {
                "version": 1,
                "gallery": self.settings.gallery,
                "bucket": self.settings.bucket,
                "root": root,
                "products": list(dict.fromkeys(product for product, _ in keys)),
                "images": [list(key) for key in keys if key[1]],
                "objects": [f"{stage.prefix}{name}" for stage in stages for name in [*stage.images, META_NAME]],
                "held": self.held,
            }
        )

    def ask(self, stages: Sequence[_Stage], every: Sequence[Question], chosen: Collection[str]) -> _Found:
        """Send every task, and decide the questions."""
        found, after = _Found(), dict[str, Seen]()
        shared = [question for question in every if not question.apart and question.id not in chosen]
        run, task = self._run(stages[0])
        seen = self._seen(stages[0], run)
        if task.ended:
            self._report(stages[0], run, seen, found)
        if task.ended and all(seen[name].there for name in CONTROLS):
            self._run(stages[1])
            after = self._after(shared, stages[0])
        for question in shared:
            found.answers[question.id] = self._decided(question, Evidence(seen, after, task), run)
        for at, stage in enumerate(stages):
            own = [one for one in every if one.id in chosen and one.id.replace("_", "-") == stage.name]
            if not own:
                continue
            question = own[0]
            alone, how = self._run(stage)
            seen, after = self._seen(stage, alone), {}
            if question.deletes and how.ended:
                self._run(stages[at + 1])
                after = self._after([question], stage)
            trusted = task.ended or how.ended
            evidence = Evidence(seen, after, how if trusted else how._replace(failed=False))
            found.answers[question.id] = self._decided(question, evidence, alone)
        return found

    def clean_up(self) -> str:
        """Delete what the journal names, check that it is gone, and remove the journal."""
        if not self.journal.is_file():
            return ""
        about = json.loads(self.journal.read_text(encoding="utf-8"))
        if about["gallery"] != self.settings.gallery or about["bucket"] != self.settings.bucket:
            raise ConfigError(
                f"{self.journal}: a calibration of {about['gallery']}, bucket {about['bucket']}, was interrupted "
                "before everything was deleted; repeat it with those settings. If that gallery no longer exists, "
                "delete the file"
            )
        name = f"{CLEAN}-{secrets.token_hex(4)}"
        lines = [_Line(Probe(""), Operation.DELETE.value, product, None) for product in about["products"]]
        stage = _Stage(name, f"/{about['root']}{name}", tuple(lines))
        about["objects"].append(f"{stage.prefix}{META_NAME}")
        self._write(about)
        text = dumps_meta(stage.batch({})[["OperationType", "ProductId", "PicName"]]).encode()
        run, task = self._run(stage, text)
        found = {tuple(key): self._asked(tuple(key), there=False)[0] for key in about["images"]}
        # Where the service refuses to answer, the end of the task must suffice.
        there = [key for key, exists in found.items() if exists or (exists is None and not task.ended)]
        if there:
            images = ", ".join(f"{product} {pic}" for product, pic in there[:3])
            raise ServiceError(
                f"calibrate: {counted(len(there), 'probe image')} still in the gallery {self.settings.gallery} after "
                f"task {run.task_id} ({task.message or 'no message'}): {images}; repeat the "
                "command to delete them",
                passing=True,
            )
        delete_objects(self.bucket, about["objects"])
        rest = {key for key, _ in list_folder(self.bucket, about["root"])}
        if ours := rest & set(about["objects"]):
            raise StorageError(
                f"calibrate: {counted(len(ours), 'object')} still in {self.settings.bucket}/{about['root']} after "
                "deleting; run the command again",
                passing=True,
            )
        held = self.service.detail().held
        self.journal.unlink()
        note = (
            f"deleted, as verified: {counted(len(about['images']), 'image')} by CheckImageExists, "
            f"{counted(len(about['objects']), 'object')} by listing the folder"
        )
        if rest:
            note += f"; {counted(len(rest), 'object')} of others in {about['root']} left in place"
        if None not in (held, about.get("held")) and held != about["held"]:
            note += f"; the gallery holds {held:,} images instead of {about['held']:,}: another caller changed it"
        return note

    def _write(self, about: Mapping[str, Any]) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        with replacing(self.journal) as draft:
            draft.write_text(json.dumps(about, ensure_ascii=False, indent=1), encoding="utf-8")

    def _run(self, stage: _Stage, text: bytes | None = None) -> tuple[Run, TaskSeen]:
        """Upload a task's folder, start the task, and follow it to its end."""
        text = stage.text if text is None else text
        sender = Sender(self.bucket, self.clock, Pace(1, self.clock), patience=PATIENCE, stop=threading.Event())
        digests = {}
        for name, probe in stage.images.items():
            data = (probe.image or plain)()
            digests[name] = hashlib.md5(data).hexdigest()
            item = Item(f"{stage.prefix}{name}", name, "", len(data), digests[name])
            sent = sender.send_bytes(item, data)
            if sent.outcome != "uploaded":
                raise StorageError(f"calibrate: {item.key}: {sent.message}", key=item.key, passing=True)
        commit(self.bucket, f"{stage.prefix}{META_NAME}", text, None, clock=self.clock, patience=PATIENCE)
        local = self.folder / stage.path.strip("/").rpartition(PREFIX)[2]
        (local / "images").mkdir(parents=True, exist_ok=True)
        with replacing(local / META_NAME) as draft:
            draft.write_bytes(text)
        with replacing(local / "batch.parquet") as draft:
            stage.batch(digests).to_parquet(draft, index=False)
        to = self.settings.with_(path=stage.path)
        options: dict[str, Any] = {"confirm": to.instance, "progress": self.progress, "clock": self.clock}
        run = submit(local, to, runs=self.folder / "runs", wait=True, stale_ok=True, **options)
        run.follow(to, progress=self.progress, clock=self.clock)
        message = run.message or ""
        why = CauseTable().classify(None, message).family
        failed = run.task_status == FAIL and why not in (Family.ACCESS, Family.RETRY)
        reported = meaning(message) is Meaning.SOME_FAILED or bool(run.readings)
        return run, TaskSeen(run.task_status == SUCCESS, failed, reported, shown(message))

    def _asked(self, key: tuple[str, ...], *, there: bool | None = None) -> tuple[bool | None, dict[str, Any]]:
        """Ask whether an image exists, retrying for a while if the answer is unexpected."""
        product, pic = key
        for attempt in range(AGAIN):
            try:
                record = self.service.image_record(product, pic)
            except ServiceError as error:
                if error.passing:
                    raise
                _log.info("%s: %s", pic, error)
                return None, {}
            if there is None or (record is not None) is there or attempt == AGAIN - 1:
                break
            self.clock.sleep(AGAIN_SECONDS)
        return record is not None, record or {}

    def _seen(self, stage: _Stage, run: Run) -> dict[str, Seen]:
        """Return the evidence on each probe."""
        rows = records(run.outcome) if run.ended else []
        by_line = {row["line"]: row for row in rows}
        keys = [line.key for line in stage.lines]
        found: dict[str, Seen] = {}
        for number, line in enumerate(stage.lines, 1):
            if line.probe.name in found:
                continue
            first = True if line.probe.name in CONTROLS and run.task_status == SUCCESS else None
            exists, record = self._asked(line.key, there=first)
            row = by_line.get(number, {})
            region = ""
            if exists and line.probe.fields.get("Region") and line.probe.name in ("region-alone", "crop-with-region"):
                hit = self.service.search_by_name(*line.key)
                region = hit.region if hit is not None else ""
            found[line.probe.name] = Seen(
                exists,
                record,
                region,
                row.get("outcome") or Outcome.UNKNOWN,
                shown(row.get("code") or row.get("cause") or ""),
                keys.count(line.key) > 1,
            )
        return found

    def _after(self, asked: Sequence[Question], stage: _Stage) -> dict[str, Seen]:
        """Return which of the images that the second task might delete are still there."""
        victims = {probe.like for question in asked for probe in question.deletes}
        found = {}
        for line in stage.lines:
            if line.probe.name == "delete-control":
                found[line.probe.name] = Seen(self._asked(line.key, there=False)[0])
            elif {line.probe.name, line.probe.like} & victims:
                found[line.probe.name] = Seen(self._asked(line.key)[0])
        return found

    def _decided(self, question: Question, evidence: Evidence, run: Run) -> tuple[str, str, str]:
        """Return answer, meaning and evidence."""
        task = f"task {run.task_id}: {run.task_status}"
        if evidence.task.message:
            task += f", {evidence.task.message}"
        if not question.apart and not evidence.task.ended:
            remedy = f"; test it separately: --apart {question.id}"
            return "", f"the task ended without a result{remedy}", task
        if not question.apart and not all(evidence.seen[name].there for name in CONTROLS if name in evidence.seen):
            return "", "even the lines for comparison were not imported", task
        answer, why = question.decide(question, evidence)
        probes = [f"{name} {evidence.seen[name]}" for name in dict.fromkeys(probe.name for probe in question.probes)]
        victims = {probe.name for probe in question.probes} if question.deletes else ()
        probes += [f"then {name} {seen}" for name, seen in evidence.after.items() if name in victims]
        return answer, why, "; ".join([*probes, task])

    def _report(self, stage: _Stage, run: Run, seen: Mapping[str, Seen], found: _Found) -> None:
        """Decide the questions about the error report, and keep a copy without names and links."""
        file = run.folder / str(run.readings[-1]["report"]) if run.readings and run.readings[-1]["report"] else None
        if file is None or not file.is_file():
            for point in REPORT_QUESTIONS:
                found.answers[point] = ("", "there is no error report, or it could not be downloaded", run.note or "")
            return
        text = _text(file)
        names = {name for line in stage.lines for name in (line.product, line.pic or "") if name}
        found.redacted = _redacted(text, self.settings, stage)
        form = _form(text)
        evidence = f"{counted(len(text.splitlines()), 'line')}, beginning {shown(text.lstrip()[:60])!r}"
        found.answers["report_format"] = (form, f"the report is {form}", evidence)
        failed = run.outcome[run.outcome["outcome"] == Outcome.FAILED]
        numbered = [_has_number(str(row["raw"]), row["line"], names) for row in records(failed)]
        answer = "" if len(set(numbered)) != 1 else "yes" if numbered[0] else "no"
        note = f"the number is given for {sum(numbered)} of {counted(len(numbered), 'failed line')}"
        found.answers["report_lines"] = (answer, f"line numbers: {answer or 'unclear'}", note)
        alone = {line.key: number for number, line in enumerate(stage.lines, 1)}
        absent = {
            alone[line.key]
            for line in stage.lines
            if not seen[line.probe.name].shared and seen[line.probe.name].exists is False
        }
        shared = {number for number, line in enumerate(stage.lines, 1) if seen[line.probe.name].shared}
        named = set(failed["line"].astype(int)) - shared
        same = "yes" if named == absent else "no"
        text_of = f"read as failed: {len(named)}, not in the gallery: {len(absent)}, both: {len(named & absent)}"
        found.answers["report_names"] = (same, f"it names the lines that were not imported: {same}", text_of)


# The report


def _text(file: Path) -> str:
    """Return a report as text, unpacked."""
    try:
        with open_report(file) as streams:
            data = b"\n".join(stream.read() for stream in streams)
    except ReportError:
        data = file.read_bytes()
    for encoding in ("utf-8-sig", "gb18030"):
        try:
            return data.decode("utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else encoding)
        except UnicodeDecodeError:
            continue
    return data.decode("utf-8", errors="replace")


def _form(text: str) -> str:
    """Return the form of a report: jsonl, a JSON document, csv, or text; ``text-zh`` is text in Chinese."""
    lines = [line for line in text.splitlines() if line.strip()]
    if lines and all(_is_object(line) for line in lines):
        return "jsonl"
    try:
        json.loads(text)
    except ValueError:
        pass
    else:
        return "json"
    for line in lines[:5]:
        if any(sum(role_of(cell.strip('" ')) is not None for cell in line.split(sign)) > 1 for sign in ",;\t|"):
            return "csv"
    return "text-zh" if re.search("[\u4e00-\u9fff]", text) else "text"


def _is_object(line: str) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False


def _has_number(raw: str, line: int, names: Collection[str]) -> bool:
    """Return whether an entry gives the number of its line, apart from the names in it."""
    for name in sorted(names, key=len, reverse=True):
        raw = raw.replace(name, " ")
    return re.search(rf"(?<!\d){line}(?!\d)", raw) is not None


def _redacted(text: str, settings: Settings, stage: _Stage) -> str:
    """Return a report without links, ids, and the names of bucket, folder and instance."""
    ident = stage.path.rpartition(PREFIX)[2].partition("/")[0]
    text = re.sub(r"https?://[^\s\"'<>|,]+", "LINK", text)
    for name, instead in (
        (stage.prefix, "FOLDER/"),
        (f"{PREFIX}{ident}", "PROBE"),
        (settings.prefix, "PATH/"),
        (settings.bucket, "BUCKET"),
        (settings.instance, "INSTANCE"),
        (settings.role_arn, "ROLE"),
    ):
        text = re.sub(rf"(?<![A-Za-z0-9]){re.escape(name)}", instead, text) if name else text
    text = re.sub(r"(?i)\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b|\b[0-9A-F]{24,}\b", "REQUEST-ID", text)
    text = re.sub(r"\bLTAI[A-Za-z0-9]+|\bSTS\.[A-Za-z0-9]+", "ACCESS-KEY", text)
    return re.sub(r"(?<!\d)\d{14,}(?!\d)", "NUMBER", text)


# The result


def _written(settings: Settings, found: _Found, every: Sequence[Question], note: str, clock: Clock) -> Calibration:
    """Write the facts and the redacted report; return the answers."""
    now = stamp(clock)
    earlier = settings.measured
    kept: dict[str, Mapping[str, str]] = dict(earlier.answers) if earlier else {}
    for point, (answer, why, evidence) in found.answers.items():
        if answer:
            kept[point] = {"answer": answer, "meaning": why, "evidence": evidence, "measured": now}
    answers = {point: entry["answer"] for point, entry in kept.items()}
    rules, limits = severities(answers, every)
    facts = ServiceFacts(settings.gallery, kept, rules, limits, _switches(answers, every))
    with overwriting(settings.facts_file) as draft:
        draft.write_text(facts.toml(), encoding="utf-8")
    report = None
    if found.redacted:
        report = settings.work / FOLDER / REPORT
        with overwriting(report) as draft:
            draft.write_text(found.redacted, encoding="utf-8", newline="")
    return Calibration(_table(found, every, kept), settings.facts_file, report, note)


def _switches(answers: Mapping[str, str], every: Sequence[Question]) -> dict[str, Any]:
    """Return the sandbox's switches that the answers imply."""
    strict = [one.switch for one in every if one.switch and answers.get(one.id) == list(one.answers)[1]]
    switches: dict[str, Any] = {"strict": strict}
    if (form := answers.get("report_format")) in ("jsonl", "csv", "text", "text-zh"):
        switches["report_format"] = form
    if lines := answers.get("report_lines"):
        switches["report_lines"] = lines == "yes"
    return switches


def _table(found: _Found, every: Sequence[Question], kept: Mapping[str, Mapping[str, str]]) -> pd.DataFrame:
    rows: list[tuple[str | None, ...]] = []
    asks = {**{question.id: question.asks for question in every}, **REPORT_QUESTIONS}
    for point, question in asks.items():
        if point in found.answers:
            answer, why, evidence = found.answers[point]
            rows.append((point, SETTLED if answer else UNDECIDED, question, answer or None, why, evidence))
        elif point in kept:
            entry = kept[point]
            evidence = f"{entry['evidence']}; asked {entry['measured']}"
            rows.append((point, SETTLED, question, entry["answer"], entry["meaning"], evidence))
        else:
            why = f"it might fail a whole task, so it is tested only on request: --apart {point}"
            rows.append((point, NOT_ASKED, question, None, why, None))
    for point, text in BY_HAND.items():
        question, _, remedy = text.partition("? ")
        rows.append((point, MANUAL, f"{question}?", None, remedy, None))
    return pd.DataFrame(rows, columns=list(ANSWER_COLUMNS)).astype("str")
