"""A shop's project, and its runs: the objects that supply what functions otherwise need as arguments."""

from __future__ import annotations

import atexit
import json
import logging
import os
import shutil
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, SupportsIndex, cast, overload

import pandas as pd

from imgprep.core.errors import ConfigError
from imgprep.core.executors import open_cluster
from imgprep.core.files import replacing
from imgprep.core.frames import returns_table
from imgprep.core.language import display_language, texts, use_language
from imgprep.core.settings import PROJECT_FILE, WORK_FOLDER, OssRoot, Settings, find_project, from_environment, is_oss
from imgprep.core.text import percent
from imgprep.demo.history import make_history
from imgprep.demo.notebook_inputs import fill_practice
from imgprep.demo.shop import PART, demo_shop
from imgprep.draw.share import assign
from imgprep.draw.store import RegionStore
from imgprep.draw.suggest import suggest_regions
from imgprep.fix.prepare import prepare_images
from imgprep.load.catalogue import load_catalogue
from imgprep.load.column_map import save_columns
from imgprep.look.duplicates import find_duplicates
from imgprep.look.facts import Tier
from imgprep.look.inspect import inspect_images
from imgprep.look.match_files import match_files
from imgprep.look.match_names import match_names
from imgprep.look.rules.book import check
from imgprep.look.rules.region_order import detect_swapped_regions
from imgprep.outcomes.findability import Findability, findability
from imgprep.outcomes.reconcile import Reconciliation, reconcile
from imgprep.outcomes.retry import Retry, build_retry, is_retry, plan_retry
from imgprep.outcomes.review import Review, review
from imgprep.outcomes.service_regions import service_regions
from imgprep.outcomes.tallies import (
    progress_of,
    tally_by,
    tally_cause_spans,
    tally_causes,
    tally_durations,
    tally_failure_changes,
    tally_flow,
    tally_outcomes,
    tally_predictions,
)
from imgprep.outcomes.trace import Trace, trace
from imgprep.outcomes.undo import plan_undo
from imgprep.outcomes.verify import Verification, verify_gallery
from imgprep.outcomes.what_if import what_if
from imgprep.plan.batch_folder import Built
from imgprep.plan.build import Rules, build_batch, preview_batch
from imgprep.plan.model import Baseline, Plan
from imgprep.plan.parts import Parts, build_parts
from imgprep.plan.preview import estimate, estimate_sentence
from imgprep.sandbox.sandbox import Sandbox
from imgprep.ship.dump import dump_gallery
from imgprep.ship.gallery import kept_export, own_runs, project_state, runs_of
from imgprep.ship.panel import Banner, banner
from imgprep.ship.preflight import preflight
from imgprep.ship.run import Run, load_runs
from imgprep.ship.submit import adopt, submit, tasks
from imgprep.ship.upload import upload
from imgprep.show.feedback import write_feedback
from imgprep.show.template import Page

if TYPE_CHECKING:
    from imgprep.draw.annotator.widget import RegionAnnotator

_log = logging.getLogger(__name__)

_TEMPLATE = """\
# The project file of imgprep. Every key is optional; paths are relative to this file.
# Never put credentials here: set OSS_ACCESS_KEY_ID and OSS_ACCESS_KEY_SECRET (for OSS), and
# ALIBABA_CLOUD_ACCESS_KEY_ID and ALIBABA_CLOUD_ACCESS_KEY_SECRET (for both) in the environment.

# language = "zh"   # panels, pages, charts, tables and results in Chinese: 面板、页面、图表、表格和结果说明用中文

# A rehearsal (notebook 00) needs only catalogue, images and [shop.columns]; the real cloud needs the rest.
[shop]
catalogue = ""        # the export: CSV, TSV, Excel, Parquet or JSON Lines
earlier = ""          # the previous export, if you keep it: notebooks 03 and 07 compare and plan with it
images = ""           # the folder (or zip) of its images, or oss://BUCKET/FOLDER
# images_endpoint = "oss-cn-beijing.aliyuncs.com"   # of that bucket, if its region differs from the instance's
# sheet = "Products" # workbook sheet: its name, its number, or "all" of the same shape
# where = "status = 'active' and stock > 0"   # which rows are wanted: = != < > in like is empty, and or not ( )
# one_product = true   # of products that share an image, send only the first that the shop shows
preset = "auto"       # how to read the export: auto, plain, shopify, woocommerce, magento, google
# private_hosts = true       # images may be fetched from this machine and private networks: a server of your own
# causes = "causes.toml"   # your own causes of failure: [[cause]] tables with id, label, family, remedy, phrases

# The column of the export that holds each field. Without this table, only columns named like a field are found,
# such as ProductId and PicName. `ip.suggest_columns` (notebook 01) proposes the rest.
# [shop.columns]
# ProductId = "sku"
# PicName = "image"
# CustomContent = "title:{title},price:{price}"
# IntAttr = { column = "price", scale = 100 }
# StrAttr2 = ""        # clears the field in the gallery; fields not named here keep the gallery's values
# [shop.columns.CategoryId]
# column = "type"      # the service uses numbers: `ip.MappingPanel` (notebook 01) proposes them; else it predicts
# map = { "T-Shirts" = 0, "Dresses" = 1 }

[service]
region = ""           # such as cn-shanghai; bucket and instance must share it
instance = ""         # the instance's name, not its id
type = "product"      # product, generic, furniture, hardware, fabric, trademark, copyright, multimodal
role_arn = ""         # acs:ram::ACCOUNT:role/NAME
# role_policy = "role-policy.json"   # the role's documents as shown in the console: `preflight` evaluates them
# role_trust = "role-trust.json"

# [cluster]
# address = "tcp://10.0.0.5:8786"   # a Dask scheduler whose workers do the work on images, or "local:4"

[oss]
bucket = ""
path = ""             # starts with a slash, does not end with one: /increment
# policy = "uploader-policy.json"    # the uploader's own, as above

[checks.severity]     # rule = "error" | "warning" | "info", to change a severity
[checks.limits]       # threshold = number, to change a limit
"""


def shipped(name: str) -> Path:
    """Return the path of a folder shipped with imgprep, such as ``notebooks``."""
    package = Path(str(resources.files("imgprep")))
    for folder in (package / "shipped" / name, package.parent / name):
        if folder.is_dir():
            return folder
    raise ConfigError(f"{name}: is not part of this installation of imgprep; install the wheel or use a checkout")


def open_project(
    folder: str | Path | None = None, *, week: int = 1, history: int = 0, seed: int = 7, **arguments: Any
) -> Project:
    """Open the project of a shop, or the demo shop if there is none.

    Parameters
    ----------
    folder : path, optional
        The project's folder. Default: the nearest folder with an ``imgprep.toml``, from the current one upward. If
        there is none, a tenth of the demo shop, drawn at first use and kept in the user's cache; its work goes to a
        temporary folder that is removed when Python exits.
    week : int
        Which of the demo shop's two exports to open: 2 is the later one, with the other as ``earlier``.
    history, seed : int
        Number of earlier weeks in which the demo shop was shipped to a sandbox, and their seed.
    **arguments
        Settings that override the project file; see `Settings.load`.

    Raises
    ------
    ConfigError
        If `folder` has no valid project file.

    Examples
    --------
    >>> shop = ip.open_project()
    >>> shop.catalogue.name, shop.settings.service
    ('catalogue.csv', 'product')
    >>> len(ip.open_project(history=3).runs())
    3
    """
    if folder := folder or find_project():
        settings = Settings.load(folder, **arguments)
        use_language(settings.language)
        return Project(settings)
    made = demo_shop(every=PART, progress=False)
    demo = {"catalogue": made.catalogue, "images": made.images, "columns": made.columns}
    demo |= {"language": from_environment().get("language", "en")}
    if week > 1:
        demo |= {"catalogue": made.later, "earlier": made.catalogue}
    work = Path(tempfile.mkdtemp(prefix="imgprep-demo-"))
    atexit.register(_remove, work, os.getpid())
    settings = Settings(**{"project": work, **demo, **arguments})
    use_language(settings.language)
    if history:
        make_history(settings.runs, weeks=history, seed=seed)
    return Project(settings)


def _remove(folder: Path, owner: int) -> None:
    if os.getpid() == owner:  # a forked child inherits this handler, and exits before its parent
        shutil.rmtree(folder, ignore_errors=True)


class Runs(list[Run]):
    """Runs of one gallery, oldest first; a list whose methods answer questions across them.

    Examples
    --------
    >>> past = ip.open_project(history=3).runs()
    >>> past
    Runs(3 of demo: 2 partial, 1 success)
    >>> past.causes().columns[:3].tolist()
    ['run', 'cause', 'label']
    """

    def __add__(self, more: list[Any], /) -> Runs:  # type: ignore[override]  # runs and nothing else
        return Runs(super().__add__(more))

    def __radd__(self, earlier: list[Any], /) -> Runs:
        return Runs([*earlier, *self])

    def __mul__(self, times: SupportsIndex, /) -> Runs:
        return Runs(super().__mul__(times))

    __rmul__ = __mul__

    def copy(self) -> Runs:
        """Return a new `Runs` of the same runs."""
        return Runs(self)

    def __repr__(self) -> str:
        states = pd.Series([str(run.state) for run in self], dtype="str").value_counts(sort=False)
        galleries = ", ".join(dict.fromkeys(run.settings.get("instance") or "no instance" for run in self))
        return (
            f"Runs({len(self)} of {galleries}: {', '.join(f'{n} {s}' for s, n in states.items())})"
            if self
            else "Runs()"
        )

    @overload
    def __getitem__(self, at: SupportsIndex) -> Run: ...
    @overload
    def __getitem__(self, at: slice) -> Runs: ...
    def __getitem__(self, at: SupportsIndex | slice) -> Run | Runs:
        return Runs(super().__getitem__(at)) if isinstance(at, slice) else super().__getitem__(at)

    @property
    def ended(self) -> Runs:
        """The runs that have ended."""
        return Runs(run for run in self if run.ended)

    @property
    def _by_time(self) -> Runs:
        """Each run once, oldest first."""
        return Runs(sorted({run.id: run for run in self}.values(), key=lambda run: run.sort_key))

    def newest(self, *, failed: bool = False) -> Run:
        """Return the newest ended run; with `failed`, the newest one that has failed lines, if there is any.

        Raises
        ------
        ConfigError
            If no run has ended.
        """
        ended = self._by_time.ended
        if not ended:
            remedy = "first submit a batch and follow it until it ends, or rehearse one (as notebook 00 does)"
            raise ConfigError(f"no run has ended here yet; {remedy}")
        with_failures = [run for run in ended if run.counts.get("failed")]
        return with_failures[-1] if failed and with_failures else ended[-1]

    @property
    def sentence(self) -> str:
        """The result in words: how first-time success developed, and how many images are still open."""
        t = texts(display_language(self[0].folder if self else None))
        if not self:
            return t("no run yet")
        runs = self._by_time
        tally = tally_outcomes(runs)
        (early, late), still = progress_of(tally), t.counted(int(tally["backlog"].iloc[-1]), "open image")
        if len(runs) == 1:
            return t("{run}; {images}", run=runs[0].sentence, images=still)
        before, after = percent(early), percent(late)
        if before == after:
            went = t("first-time success was {after}", after=after)
        else:
            went = t(
                "first-time success rose from {before} to {after}"
                if late > early
                else "first-time success fell from {before} to {after}",
                before=before,
                after=after,
            )
        return t(
            "{runs}, {first} to {last}: {went}; {images} now, {most} at most",
            runs=t.counted(len(runs), "run"),
            first=runs[0].started_at[:10],
            last=runs[-1].started_at[:10],
            went=went,
            images=still,
            most=f"{int(tally['backlog'].max()):,}",
        )

    def outcomes(self) -> pd.DataFrame:
        """Return one row per run; see `tally_outcomes`."""
        return tally_outcomes(self)

    def causes(self, *, by: str | None = None) -> pd.DataFrame:
        """Return one row per run and cause; see `tally_causes`."""
        return tally_causes(self, by=by)

    def cause_spans(self) -> pd.DataFrame:
        """Return when each cause first and last occurred, and how many images wait for it; see `tally_cause_spans`."""
        return tally_cause_spans(self)

    def by(self, column: str = "") -> pd.DataFrame:
        """Return the causes per value of a column of the catalogue or of the image facts; see `tally_by`."""
        return tally_by(self, column)

    def changes(self, back: int = 1) -> pd.DataFrame:
        """Return how failures changed between the newest run and the one `back` runs earlier, at most the oldest.

        Raises
        ------
        ConfigError
            If `back` is less than 1, or there are fewer than two runs.
        """
        runs = self._by_time
        if back < 1:
            raise ConfigError(f"changes: back is {back}, but must be 1 (the run before the newest) or more")
        if len(runs) < 2:
            raise ConfigError("changes: needs two runs, but there are fewer than two; ship another batch first")
        return tally_failure_changes(runs[max(0, len(runs) - 1 - back)], runs[-1], runs=runs)

    def flow(self) -> pd.DataFrame:
        """Return the sequences of outcomes that images went through; see `tally_flow`."""
        return tally_flow(self)

    def predictions(self) -> pd.DataFrame:
        """Compare what `check` predicted with what happened; see `tally_predictions`."""
        return tally_predictions(self)

    def review(self, month: str | None = None, *, source: str = "") -> Review:
        """Return the review of a month; see `imgprep.review`."""
        return review(self, month, source=source)


@dataclass(frozen=True, slots=True, repr=False)
class Project:
    """A shop: its settings, and the steps of the work with its paths, rules, regions and runs filled in.

    Parameters
    ----------
    settings : Settings
        The shop's settings, as `open_project` reads them; functions that take settings get these.

    Examples
    --------
    >>> shop = ip.open_project()
    >>> catalogue = shop.load()
    >>> findings = shop.check(catalogue)
    >>> run = shop.rehearse(shop.build(catalogue.head(20), progress=False), progress=False)
    >>> str(run.state)
    'success'
    """

    settings: Settings

    def __repr__(self) -> str:
        places = (self.settings.catalogue, self.settings.images)
        names = [os.fspath(path) if is_oss(path) else Path(path).name for path in places if path is not None]
        return f"Project({', '.join([*names, self.settings.gallery])})"

    @property
    def catalogue(self) -> Path:
        """The catalogue export."""
        self.settings.require("catalogue")
        return cast(Path, self.settings.catalogue)

    @property
    def images(self) -> Path | OssRoot:
        """The folder or archive of the images, or their address in OSS."""
        self.settings.require("images")
        return cast(Path | OssRoot, self.settings.images)

    @property
    def work(self) -> Path:
        """The folder for runs, regions and caches, created if necessary."""
        self.settings.work.mkdir(parents=True, exist_ok=True)
        return self.settings.work

    def load(self, path: str | Path | None = None) -> pd.DataFrame:
        """Return the catalogue, read as the project says; `path` names another export. See `load_catalogue`."""
        return load_catalogue(path or self.settings.catalogue, **self.settings.reading)

    @returns_table
    def load_earlier(self, catalogue: pd.DataFrame) -> pd.DataFrame:
        """Return the catalogue of the export before `catalogue`, for comparison and planning.

        This is the file that the project names as ``earlier``, otherwise the newest copy that a run kept of another
        export of the same products; the catalogue of a retry does not count, as it may be a corrected one. If there is
        neither, it is `catalogue` without the last 10 % of its rows, which then count as new. ``.attrs["origin"]``
        describes its source.
        """
        if (file := self.settings.earlier) is not None:
            earlier, origin = self.load(file), f"the file {file.name}"
        else:
            runs = [run for run in load_runs(self.settings.runs) if not is_retry(run)]
            other = [run for run in runs if not _same(run.catalogue, catalogue)]
            kept = kept_export(other, catalogue)
            earlier = catalogue.head(len(catalogue) - max(1, len(catalogue) // 10)) if kept is None else kept
            remedy = "no earlier export is known; name it as earlier under [shop] in imgprep.toml"
            generated = f"generated: this export without the last 10 % of its rows ({remedy})"
            origin = generated if kept is None else "the newest run's copy of another export"
        earlier.attrs = {**earlier.attrs, "origin": origin}
        return earlier

    @returns_table
    def inspect(self, catalogue: pd.DataFrame, *, progress: bool = True) -> pd.DataFrame:
        """Return the facts of the catalogue's images; only changed files are opened again. See `inspect_images`.

        ``.attrs["service"]`` is the project's service type, whose limits apply when the images are counted.
        """
        tier = Tier.HEADER if is_oss(self.images) else Tier.DECODE  # in OSS, decoding reads every byte
        with open_cluster(self.settings.cluster) as executor:
            facts = inspect_images(
                catalogue, self.images, tier=tier, cache=self._cache, executor=executor, progress=progress
            )
        facts.attrs["service"] = self.settings.service
        return facts

    def check(self, catalogue: pd.DataFrame, facts: pd.DataFrame | None = None) -> pd.DataFrame:
        """Check every row, and with `facts` every image, against the project's rules; see `imgprep.check`."""
        files = None if facts is None else match_names(catalogue, self.images)
        return check(catalogue, facts, regions=self._drawn(), files=files, **self.settings.rules)

    def files(self, catalogue: pd.DataFrame) -> pd.DataFrame:
        """Return each image name of the catalogue beside its file, and the files that no row names.

        See `match_names` for the columns.
        """
        return match_names(catalogue, self.images)

    def match_files(self, catalogue: pd.DataFrame, **options: Any) -> pd.DataFrame:
        """Return the product that each image file of the project shows; for the options, see `imgprep.match_files`."""
        with open_cluster(self.settings.cluster) as executor:
            return match_files(self.images, catalogue, **{"executor": executor, **options})

    def duplicates(self, facts: pd.DataFrame, catalogue: pd.DataFrame | None = None) -> pd.DataFrame:
        """Return identical and nearly identical images, with equal pixels confirmed. See `find_duplicates`."""
        with open_cluster(self.settings.cluster) as executor:
            return find_duplicates(facts, catalogue, root=self.images, executor=executor)

    def prepare(self, facts: pd.DataFrame, out: str | Path, **options: Any) -> pd.DataFrame:
        """Make service-ready copies in `out`; return their log. See `prepare_images` for the options."""
        given = {"service": self.settings.service, "limits": self.settings.limits, **options}
        with open_cluster(self.settings.cluster) as executor:
            return prepare_images(facts, self.images, out, **{"executor": executor, **given})

    def suggest_regions(self, images: pd.DataFrame | Iterable[str], **options: Any) -> pd.DataFrame:
        """Suggest the subject's region in many images. See `suggest_regions` for the options."""
        with open_cluster(self.settings.cluster) as executor:
            return suggest_regions(images, self.images, **{"executor": executor, **options})

    def feedback(self, findings: pd.DataFrame, *, by: str = "folder") -> Page:
        """Write the fault sheet for photographers, ``imgprep-work/feedback.html``; a notebook shows it.

        See `write_feedback`; `by` is a regular expression or ``folder``.
        """
        return Page(write_feedback(findings, self.work / "feedback.html", root=self.images, by=by))

    def annotate(self, catalogue: pd.DataFrame, *, who: str | None = None, **options: Any) -> RegionAnnotator:
        """Return the annotator on the catalogue's images and the project's regions. See `RegionAnnotator`."""
        from imgprep.draw.annotator.widget import RegionAnnotator  # noqa: PLC0415  widgets are for notebooks

        options.setdefault("language", self.settings.language)
        return RegionAnnotator(catalogue, self.images, self.store(who=who), **options)

    def assign(self, catalogue: pd.DataFrame, people: Sequence[str], *, shared: float = 0.0) -> pd.DataFrame:
        """Split the drawing among people, by product; the share `shared` goes to everyone. See `assign`."""
        return assign(catalogue, people, shared=shared)

    def detect_swapped_regions(self, batch: pd.DataFrame, *, progress: bool = True) -> pd.DataFrame:
        """Judge whether regions from another tool were written as x1,y1,x2,y2. See `detect_swapped_regions`."""
        return detect_swapped_regions(batch, self.inspect(batch, progress=progress))

    def practise(self, *, who: str | None = None, file: str | Path = "") -> RegionStore:
        """Return a new practice store with the project's regions or those in `file`, and suggestions.

        The suggestion for each drawn region is recorded as if it had led to that region. The demo shop has regions of
        its own.
        """
        store = RegionStore(Path(tempfile.mkdtemp(dir=self.work)) / "practice.sqlite", who=who)
        fill_practice(store, self.settings, file)
        return store

    def store(self, *, who: str | None = None) -> RegionStore:
        """Open the project's regions; `who` is stored as the author of each decision. See `RegionStore`."""
        return RegionStore(self.work / self.settings.regions.name, who=who)

    def known(self) -> pd.DataFrame | None:
        """Return the gallery state from the project's runs, checks and newest export; None if there are no runs."""
        return project_state(self.settings)

    def plan(self, catalogue: pd.DataFrame, *, delete_missing: bool = False, progress: bool = True) -> Plan:
        """Return what `build` would send; nothing is written."""
        baseline = self._baseline(catalogue, delete_missing=delete_missing)
        rules, regions = Rules(**self.settings.rules), self._drawn()
        with open_cluster(self.settings.cluster) as executor:
            return preview_batch(
                catalogue,
                self.images,
                rules=rules,
                baseline=baseline,
                regions=regions,
                target=self.settings.target,
                cache=self._cache,
                executor=executor,
                progress=progress,
            )[0]

    def build(
        self,
        catalogue: pd.DataFrame,
        out: str | Path | None = None,
        *,
        delete_missing: bool = False,
        keep_refused: bool = False,
        confirm: str | None = None,
        confirm_rows: int | None = None,
        progress: bool = True,
    ) -> Built:
        """Build a batch folder against what the gallery holds. See `build_batch` and `Baseline` for the parameters.

        By default, the folder is ``imgprep-work/batch``.
        """
        with open_cluster(self.settings.cluster) as executor:
            return build_batch(
                catalogue,
                self.images,
                out or self.work / "batch",
                rules=Rules(**self.settings.rules),
                baseline=self._baseline(
                    catalogue, delete_missing=delete_missing, confirm=confirm, confirm_rows=confirm_rows
                ),
                regions=self._drawn(),
                target=self.settings.target,
                keep_refused=keep_refused,
                sources=[self.catalogue],
                cache=self._cache,
                executor=executor,
                progress=progress,
            )

    def build_parts(
        self,
        out: str | Path | None = None,
        *,
        parts: int | None = None,
        facts: str | Path | None = None,
        delete_missing: bool = False,
        confirm: str | None = None,
        confirm_rows: int | None = None,
        progress: bool = True,
    ) -> Parts:
        """Build the project's export, of any size, as several batch folders. See `imgprep.plan.parts.build_parts`.

        By default, the folder is ``imgprep-work/parts``. The last export is not compared.
        """
        return build_parts(
            self.catalogue,
            out or self.work / "parts",
            parts=parts,
            facts=facts,
            rules=Rules(**self.settings.rules),
            baseline=Baseline(
                known=self.known(),
                delete_missing=delete_missing,
                instance=self.settings.instance,
                confirm=confirm,
                confirm_rows=confirm_rows,
            ),
            regions=self._drawn(),
            progress=progress,
            **self.settings.reading,
        )

    def cost(self, built: Built) -> str:
        """Return in words what sending a batch takes: lines, images, and time by quota and by own runs."""
        # A sandbox's pace says nothing about the service's.
        own = [run for run in own_runs(load_runs(self.settings.runs), self.settings) if not run.is_sandbox]
        return estimate_sentence(
            estimate(built.plan, built.facts, durations=tally_durations(own)), texts(self.settings.language)
        )

    def rehearse(self, built: Built | str | Path, *, progress: bool = True, **switches: Any) -> Run:
        """Ship a batch to a new sandbox on this machine, and return the ended run.

        `switches` are the options of `Sandbox`. Its gallery starts empty, and is never taken for the instance's. A
        rehearsal uses this machine alone, not the project's cluster.
        """
        with Sandbox(**{"task_seconds": 0, "throttle": False, **switches}) as sandbox:
            return self.on(sandbox).ship(built, progress=progress)

    def on(self, sandbox: Sandbox) -> Project:
        """Return this shop with a running sandbox in place of its instance: same files, but a gallery of its own.

        Work is done on this machine. Images in OSS are read from where they are, with the project's own key.
        """
        there = sandbox.settings
        documents = dict.fromkeys(("role_policy", "role_trust", "uploader_policy"))  # of the real role
        keys = {name: getattr(there, name) for name in ("oss_credentials", "imagesearch_credentials")}
        own: dict[str, Any] = {**there.public(), **keys, **documents, "images": self.settings.images, "cluster": ""}
        return Project(self.settings.with_(**own))

    def banner(self) -> Banner:
        """Return a banner for the top of a notebook: SANDBOX, or PRODUCTION with the instance's name."""
        return banner(self.settings)

    def ship(self, built: Built | str | Path, *, confirm: str | None = None, progress: bool = True) -> Run:
        """Upload a batch to the instance, submit it, and follow its task until it ends.

        A production gallery must be confirmed: by its name in `confirm`, or typed in the notebook. Calls can be
        repeated after an interruption. See `upload`, `submit` and `Run.follow`.
        """
        self.upload(built, progress=progress)
        return self.submit(built, confirm=confirm, progress=progress).follow(progress=progress)

    def preflight(self, built: Built | str | Path | None = None) -> pd.DataFrame:
        """Check keys, rights and settings, and with `built` also the uploaded batch. See `imgprep.preflight`."""
        return preflight(self.settings, None if built is None else _folder(built))

    def upload(self, built: Built | str | Path, *, dry_run: bool = False, progress: bool = True) -> pd.DataFrame:
        """Upload a batch: images first, then increment.meta. See `imgprep.upload`."""
        with open_cluster(self.settings.cluster) as executor:
            return upload(
                _folder(built),
                None,
                self.settings,
                dry_run=dry_run,
                runs=self.settings.runs,
                known=self.known(),
                executor=executor,
                progress=progress,
            )

    def submit(self, built: Built | str | Path, *, confirm: str | None = None, progress: bool = True) -> Run:
        """Start the task for an uploaded batch; `Run.follow` then waits for its end. See `imgprep.submit`."""
        return submit(_folder(built), self.settings, runs=self.settings.runs, confirm=confirm, progress=progress)

    def tasks(self) -> pd.DataFrame:
        """Return every batch task of the instance, with the run of each that is ours. See `tasks`."""
        return tasks(self.settings, runs=self.settings.runs)

    def adopt(self, task_id: str | int) -> Run:
        """Make a run for a task that somebody created in the console or on another machine. See `adopt`."""
        return adopt(task_id, self.settings, runs=self.settings.runs)

    def runs(self) -> Runs:
        """Return the runs of the project's gallery, oldest first.

        If there are none, return the runs of the newest run's gallery, such as a sandbox's, with a warning that names
        it.
        """
        runs = load_runs(self.settings.runs)
        own = own_runs(runs, self.settings)
        if runs and not own:
            _log.warning("no run was sent to %s; these are runs of %s", self.settings.gallery, runs[-1].gallery)
            own = runs_of(runs, runs[-1].sent_to)
        for run in own:
            run.images = self.settings.images
        return Runs(own)

    def trace(self, product_id: str, *, ask: bool = False) -> Trace:
        """Return the history of a product; with `ask`, ask the gallery about its images now. See `imgprep.trace`."""
        return trace(product_id, self.settings, ask=ask)

    def retry(self, run: Run, catalogue: pd.DataFrame | None = None, *, progress: bool = True) -> Retry:
        """Return the lines worth sending again with today's catalogue, or another. See `plan_retry`."""
        return plan_retry(run, self.plan(self.load() if catalogue is None else catalogue, progress=progress).batch)

    def build_retry(self, run: Run, catalogue: pd.DataFrame | None = None, *, progress: bool = True) -> Built:
        """Build a batch folder, ``imgprep-work/retry``, from the lines that `retry` returns. See `build_retry`."""
        with open_cluster(self.settings.cluster) as executor:
            return build_retry(
                run,
                self.images,
                self.work / "retry",
                catalogue=self.load() if catalogue is None else catalogue,
                rules=Rules(**self.settings.rules),
                regions=self._drawn(),
                target=self.settings.target,
                cache=self._cache,
                executor=executor,
                progress=progress,
            )[0]

    def undo(self, run: Run, *, later: bool = False) -> Plan:
        """Return the plan that restores what the gallery held before a run; nothing is sent. See `plan_undo`."""
        return plan_undo(run, later=later)

    def dump(self, *, progress: bool = True) -> Path:
        """Export the gallery's content; plans start from the newest export. See `dump_gallery`."""
        return dump_gallery(self.settings, progress=progress)

    def reconcile(self, *, dump: str | Path | None = None, sample: int | None = None) -> Reconciliation:
        """Compare the runs with an export of the gallery, or with answers about a sample. See `imgprep.reconcile`."""
        return reconcile(self.runs(), dump=dump, sample=sample, settings=self.settings)

    def verify(self, **options: Any) -> Verification:
        """Ask the gallery whether it holds images as sent. See `verify_gallery` for the options."""
        return verify_gallery(load_runs(self.settings.runs), self.settings, **options)

    def findability(self, **options: Any) -> Findability:
        """Search the gallery with a sample of its own images. See `findability` for the options."""
        return findability(load_runs(self.settings.runs), self.settings, **options)

    def what_if(self, images: pd.DataFrame | Iterable[str], **options: Any) -> pd.DataFrame:
        """Compare the search results for the project's regions, the service's own, and whole images. See `what_if`."""
        return what_if(images, self.images, self.settings, **{"regions": self._drawn(), **options})

    def service_regions(self, images: pd.DataFrame | Iterable[str], **options: Any) -> pd.DataFrame:
        """Compare the subjects that the service detects with the project's regions. See `service_regions`."""
        return service_regions(images, self.images, self.settings, **{"regions": self._drawn(), **options})

    @property
    def _cache(self) -> Path:
        return self.work / "cache" / "facts"

    def _drawn(self) -> RegionStore | None:
        file = self.settings.regions
        return RegionStore(file, read_only=True) if file.exists() else None

    def _baseline(self, catalogue: pd.DataFrame, **confirmed: Any) -> Baseline:
        last = kept_export(own_runs(load_runs(self.settings.runs), self.settings), catalogue)
        return Baseline(known=self.known(), last=last, instance=self.settings.instance, **confirmed)


def _folder(built: Built | str | Path) -> Path:
    return built.folder if isinstance(built, Built) else Path(built)


def _same(kept: pd.DataFrame, this: pd.DataFrame) -> bool:
    both = [name for name in this.columns if name in kept.columns]
    return len(kept) == len(this) and kept[both].astype("str").equals(this[both].astype("str").reset_index(drop=True))


def init_project(
    folder: str | Path = ".", *, catalogue: str | Path | None = None, images: str | Path | None = None
) -> list[Path]:
    """Create a project folder: ``imgprep.toml``, copies of the notebooks and their start page, and ``imgprep-work/``.

    Existing files are left unchanged, so the call can be repeated after an upgrade.

    Parameters
    ----------
    folder : path
        The folder; created if it does not exist.
    catalogue : path, optional
        The export, to be written into ``imgprep.toml`` with the columns that `MappingPanel` suggests for it. The
        product's key is not written: until somebody confirms the column, `load_catalogue` finds it and checks it.
    images : path, optional
        The folder or archive of its images, or ``oss://BUCKET/FOLDER``.

    Returns
    -------
    list of Path
        The files that were created.

    Raises
    ------
    ConfigError
        If `catalogue` or `images` is given, but ``imgprep.toml`` exists already, or the images do not.
    CatalogueError
        If the export cannot be read.

    Examples
    --------
    >>> made = ip.init_project("my-shop")
    >>> made[0].name
    'imgprep.toml'
    """
    root, project = Path(folder), _TEMPLATE
    columns: dict[str, Any] = {}
    if given := {name: value for name, value in {"catalogue": catalogue, "images": images}.items() if value}:
        if (root / PROJECT_FILE).exists():
            raise ConfigError(f"{root / PROJECT_FILE}: exists already; set {' and '.join(given)} there, under [shop]")
        if images and not is_oss(images) and not Path(images).exists():
            raise ConfigError(f"{images}: does not exist; name the folder or archive of the images, or oss://BUCKET")
        for name, place in given.items():
            text = str(place) if is_oss(place) else Path(place).resolve().as_posix()
            project = project.replace(f'{name} = ""', f"{name} = {json.dumps(text, ensure_ascii=False)}", 1)
    if catalogue:
        columns = _suggested_columns(catalogue)
    made = []
    try:
        (root / WORK_FOLDER).mkdir(parents=True, exist_ok=True)
        (root / "notebooks").mkdir(exist_ok=True)
        files = {
            root / PROJECT_FILE: project.encode("utf-8"),
            root / WORK_FOLDER / ".gitignore": b"# Caches can be rebuilt; runs and regions cannot.\ncache/\n",
        }
        for guide in sorted(file for file in shipped("notebooks").iterdir() if file.suffix in (".md", ".ipynb")):
            data = guide.read_bytes()
            files[root / "notebooks" / guide.name] = _without_outputs(data) if guide.suffix == ".ipynb" else data
        for file, data in files.items():
            if not os.path.lexists(file):
                with replacing(file) as draft:
                    draft.write_bytes(data)
                made.append(file)
    except OSError as error:
        raise ConfigError(f"{root}: no project can be created here: {error.strerror or error}") from error
    if columns:
        save_columns(columns, root)
    return made


def _suggested_columns(catalogue: str | Path) -> dict[str, Any]:
    from imgprep.load.mapping_panel import MappingPanel  # noqa: PLC0415  widgets are for notebooks

    panel = MappingPanel(catalogue)
    panel.accept_suggestions()
    return {field: entry for field, entry in panel.columns.items() if field != "ProductId"}


def _without_outputs(notebook: bytes) -> bytes:
    """Return a notebook without its outputs, which show the demo shop."""
    document = json.loads(notebook)
    for cell in document["cells"]:
        if cell["cell_type"] == "code":
            cell.update(outputs=[], execution_count=None)
    return (json.dumps(document, ensure_ascii=False, indent=1) + "\n").encode("utf-8")
