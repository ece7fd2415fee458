"""Displays for shipping: the banner, the production confirmation, and the task status."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from imgprep.cloud.imagesearch import FAIL, PROCESSING, SUCCESS, Task
from imgprep.core.clock import Clock
from imgprep.core.credentials import Credentials, CredentialsProvider
from imgprep.core.errors import ConfigError
from imgprep.core.language import Texts, display_language, texts
from imgprep.core.notebook import in_notebook, shows
from imgprep.core.settings import HasSettings, Settings, find_project, is_loopback, is_vendors, settings_of
from imgprep.core.text import shown
from imgprep.ship.task_status import Meaning, State, meaning
from imgprep.show.template import template


def confirm_production(settings: Settings) -> str:
    """Ask the user to type the instance's name before production is changed; a sandbox needs no confirmation.

    Parameters
    ----------
    settings : Settings
        Settings that name the instance.

    Returns
    -------
    str
        The instance's name, to pass as ``confirm=``.

    Raises
    ------
    ConfigError
        A different name was entered, or there is no one to ask (papermill, nbval, cron).

    Examples
    --------
    >>> with ip.Sandbox() as sandbox:
    ...     confirm_production(sandbox.settings)
    'demo'
    """
    if settings.is_sandbox:
        return settings.instance
    question = f"PRODUCTION: this changes the gallery of instance {settings.instance!r}. Type its name to continue: "
    try:
        typed = input(question).strip()
    except Exception as error:  # IPython raises an error of its own without a front end
        raise ConfigError(
            f"instance {settings.instance!r} is production, and needs confirmation, which cannot be typed here; pass "
            f"confirm={settings.instance!r}"
        ) from error
    check_confirmed(settings, typed)
    return typed


def check_confirmed(settings: Settings, confirm: str | None) -> None:
    """Raise ConfigError unless sending is confirmed; in a notebook, ask the user before production is changed."""
    if confirm is None:
        if in_notebook() and not settings.is_sandbox:
            confirm_production(settings)
        return
    if confirm != settings.instance:
        raise ConfigError(
            f"not confirmed: typed {confirm!r}, but the instance is {settings.instance!r}; nothing was sent"
        )


class AskedCredentials:
    """Credentials for a run folder's endpoint; an unknown one must be confirmed, as anyone may have written it.

    The known endpoints are this machine, the vendor's hosts over https, and those in the project's settings.
    """

    def __init__(self, provider: CredentialsProvider, url: str) -> None:
        self._provider = provider
        self._url = url
        self._confirmed = is_loopback(url) or is_vendors(url)
        self._lock = threading.Lock()

    def credentials(self) -> Credentials:
        """Return the credentials; raise ConfigError unless the endpoint is known or the user confirms it."""
        with self._lock:
            self._confirmed = self._confirmed or self._url in _own_endpoints() or _confirm_endpoint(self._url)
        return self._provider.credentials()


def _own_endpoints() -> Iterator[str]:
    folder = find_project()
    settings = Settings.load(folder) if folder else Settings.from_env()
    for name in ("oss_url", "imagesearch_url"):
        with suppress(ConfigError):  # not set
            yield getattr(settings, name)


def _confirm_endpoint(url: str) -> bool:
    host = urlsplit(url).netloc
    typed = ""
    with suppress(Exception):  # IPython raises an error of its own without a front end
        typed = input(
            f"The run folder names the endpoint {shown(url)}, which is neither the vendor's nor in your "
            f"settings. Type {shown(host)} to send your credentials there: "
        ).strip()
    if typed != host:
        raise ConfigError(
            f"endpoint {shown(url)}: the run folder names it, and it is neither the vendor's (https) nor in the "
            "project's settings, so no credentials were sent. If you know this host, pass settings that contain it: "
            "run.follow(settings), or set it in imgprep.toml"
        )
    return True


@dataclass(frozen=True, slots=True)
class Banner:
    """The banner returned by `banner`: SANDBOX, or PRODUCTION with the instance's name."""

    production: bool
    text: str
    t: Texts = field(default_factory=texts, repr=False, compare=False)

    @property
    def _word(self) -> str:
        return self.t("PRODUCTION" if self.production else "SANDBOX")

    def __repr__(self) -> str:
        return f"{self._word}{self.t(': ')}{self.text}"

    def _repr_html_(self) -> str:
        return template("banner.html").render(
            kind="error" if self.production else "info", word=self._word, text=self.text
        )


def banner(settings: HasSettings | Settings) -> Banner:
    """Return a banner for the top of a notebook: SANDBOX, or PRODUCTION with the instance's name.

    Parameters
    ----------
    settings : Project or Settings
        A shop, or settings that name instance, bucket and path.

    Returns
    -------
    Banner
        Shown as a coloured line in a notebook, as text elsewhere.

    Examples
    --------
    >>> banner(Settings(region="cn-shanghai", instance="shop", bucket="pictures", path="/increment"))
    PRODUCTION: instance shop in cn-shanghai, bucket pictures, path /increment
    """
    settings = settings_of(settings)
    t = texts(settings.language)
    unset = t("not set")
    name = settings.instance or unset
    if settings.is_sandbox:
        text = t("instance {name}; a server on this machine, nothing real is changed", name=name)
        return Banner(False, text, t)
    text = t(
        "instance {name} in {region}, bucket {bucket}, path {path}"
        if settings.region
        else "instance {name}, bucket {bucket}, path {path}",
        name=name,
        region=settings.region,
        bucket=settings.bucket or unset,
        path=settings.path or unset,
    )
    return Banner(True, text, t)


#: State of a task or run → the theme's colour for it; any other state has none.
_KINDS: Mapping[str, str] = {
    State.PROCESSING: "info",
    State.SUCCESS: "success",
    State.PARTIAL: "warn",
    State.UNKNOWN: "warn",
    State.FAILED: "error",
}
#: Outcome of a line → the theme's colour for its part of the bar.
_OUTCOMES = {"imported": "success", "deleted": "info", "failed": "error", "unknown": "warn"}


@dataclass(frozen=True, slots=True)
class Progress:
    """What is known about a run beside its task: its counts, its state once it has ended, and its estimated time."""

    counts: Mapping[str, int] = field(default_factory=dict)
    state: str | None = None
    seconds: float = 0.0  #: since the task began
    estimate: float = 0.0  #: seconds by the vendor's quotas; 0 if unknown

    @property
    def outcomes(self) -> dict[str, int]:
        """The counts of the outcomes that lines have."""
        return {name: self.counts[name] for name in _OUTCOMES if self.counts.get(name)}

    def __str__(self) -> str:
        return self.text(texts())

    def text(self, t: Texts) -> str:
        """Return the counts in words."""
        if self.outcomes:
            return t(", ").join(_outcome(name, count, t) for name, count in self.outcomes.items())
        lines = self.counts.get("lines")
        return t("{lines} sent", lines=t.counted(lines, "line")) if lines else ""


@contextmanager
def task_progress(
    task_id: str, where: str, *, show: bool, clock: Clock, waiting: bool = False
) -> Iterator[Callable[..., None]]:
    """Yield a function that shows a task's status and a note, in a notebook panel or on a terminal line."""
    if not shows(show):
        yield lambda task, note=None, progress=None: None
    elif in_notebook():
        with _panel(task_id, where, clock, waiting) as update:
            yield update
    else:
        with _line(task_id, "waiting for task" if waiting else "task") as update:
            yield update


@contextmanager
def countdown(text: str, *, show: bool) -> Iterator[Callable[[float], None]]:
    """Yield a function that shows `text` and the seconds left; nothing is shown in a log file."""
    from tqdm import tqdm  # noqa: PLC0415

    with tqdm(total=1, bar_format="{desc}", leave=False, disable=not shows(show)) as bar:
        yield lambda seconds: bar.set_description_str(f"{text}: {seconds:.0f} s left")


@contextmanager
def _line(task_id: str, word: str) -> Iterator[Callable[..., None]]:
    from tqdm import tqdm  # noqa: PLC0415

    with tqdm(total=1, bar_format="{desc} {elapsed}") as bar:
        bar.set_description_str(f"{word} {task_id}")

        def update(task: Task, note: str | None = None, progress: Progress | None = None) -> None:
            message = f", {shown(task.message)}" if task.message else ""  # a terminal would execute escape sequences
            rest = f", {progress}" if progress and progress.state else message
            bar.set_description_str(f"{word} {shown(task.id)}: {shown(_word(task, progress))}{rest}")

        yield update


@contextmanager
def _panel(task_id: str, where: str, clock: Clock, waiting: bool) -> Iterator[Callable[..., None]]:
    from IPython.display import HTML, display  # noqa: PLC0415
    from ipywidgets import HTML as Panel  # noqa: PLC0415

    t = texts(display_language())
    asking = Task(task_id, "", "", t("asking"))
    started, panel = clock.monotonic(), Panel(panel_html(asking, where, 0, waiting=waiting))
    last = panel.value
    shown = display(panel, display_id=True)  # type: ignore[no-untyped-call]

    def update(task: Task, note: str | None = None, progress: Progress | None = None) -> None:
        nonlocal last
        seconds = clock.monotonic() - started
        panel.value = panel_html(task, where, seconds, waiting=waiting, note=note, progress=progress)
        last = panel_html(task, where, None, waiting=waiting, note=note, progress=progress)

    try:
        yield update
    finally:
        # The last status remains as plain HTML, because a widget does not work in a saved notebook, and without the
        # time, which would differ in each execution.
        panel.close()
        if shown is not None:
            shown.update(HTML(last))  # type: ignore[no-untyped-call]


def named(settings: Settings, t: Texts | None = None) -> str:
    """Return the instance's name, labelled as sandbox or production."""
    t = t or texts()
    return t(
        "{instance} (SANDBOX)" if settings.is_sandbox else "{instance} in {region} (PRODUCTION)",
        instance=settings.instance,
        region=settings.region,
    )


def panel_html(
    task: Task,
    where: str,
    seconds: float | None,
    *,
    waiting: bool = False,
    note: str | None = None,
    progress: Progress | None = None,
) -> str:
    """Return the panel's content, with the service's text escaped."""
    progress = progress or Progress()
    word, t = _word(task, progress), texts(display_language())
    notes = []
    if progress.estimate and word == State.PROCESSING:
        notes.append(
            t(
                "{time} of about {estimate} by the vendor's quotas; the service reports no progress",
                time=_lasted(progress.seconds, t),
                estimate=_lasted(progress.estimate, t),
            )
        )
    if task.message and not progress.state:
        notes.append(t("service message: {message}", message=task.message))
    if note:
        notes.append(t.kept(note))
    if word == State.PARTIAL:
        notes.append(t("the service reports SUCCESS although lines failed: the error report names them"))
    if waiting:
        notes.append(t("only one task runs at a time: the batch is submitted when this task has ended"))
    if task.status == PROCESSING:
        notes.append(t("it is safe to interrupt: run the cell again to continue"))
    return template("task.html", t.language).render(
        task=task,
        where=where,
        lasted="" if seconds is None else _lasted(seconds, t),
        word=t(word),
        kind=_KINDS.get(word),
        notes=notes,
        progress=progress,
        counts=progress.text(t),
        parts=[(_outcome(name, count, t), _OUTCOMES[name], count) for name, count in progress.outcomes.items()],
    )


def _word(task: Task, progress: Progress | None) -> str:
    """Return the state to show: the run's own, or else what the task's status and message mean."""
    if progress and progress.state:
        return str(progress.state)
    if task.status == SUCCESS and meaning(task.message) is Meaning.SOME_FAILED:
        return State.PARTIAL
    return {PROCESSING: State.PROCESSING, SUCCESS: State.SUCCESS, FAIL: State.FAILED}.get(task.status, task.status)


def _outcome(name: str, count: int, t: Texts) -> str:
    return t("{count} {outcome}", count=f"{count:,}", outcome=t(name))


def _lasted(seconds: float, t: Texts) -> str:
    if seconds < 60:
        return t("{seconds} s", seconds=f"{seconds:.0f}")
    return t("{minutes} min {seconds} s", minutes=f"{seconds // 60:.0f}", seconds=f"{seconds % 60:.0f}")
