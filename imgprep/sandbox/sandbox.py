"""The sandbox: one port on loopback that speaks OSS and Image Search."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from imgprep.core.credentials import Credentials, StaticCredentials
from imgprep.core.settings import Settings
from imgprep.sandbox.clock import Clock
from imgprep.sandbox.config import sort_switches
from imgprep.sandbox.faults import Fault, FaultKind
from imgprep.sandbox.http import Ending, Request, Response
from imgprep.sandbox.imagesearch.service import ImageSearch
from imgprep.sandbox.imagesearch.tasks import World
from imgprep.sandbox.oss.keys import KeyRing, new_key
from imgprep.sandbox.oss.objects import ObjectStore
from imgprep.sandbox.oss.request import Shop
from imgprep.sandbox.oss.service import Handled, Oss
from imgprep.sandbox.oss.uploads import Uploads
from imgprep.sandbox.server import HOST, Server

REPORTS = "/-/report/"
ROLE = "imagesearch-reader"
_KEY_FILE = "key.json"
#: Stands in a folder whose content is the sandbox's to change and to remove.
_MARK = ".imgprep-sandbox"
_ENDINGS: dict[str, Ending] = {"lost": "lost", "cut": "cut", "endless": "endless"}


class Sandbox:
    """OSS and Image Search on this machine: the same clients, the same wire, nothing paid, nothing shared.

    Parameters
    ----------
    root : path, optional
        Where objects (``objects/``) and the Image Search state (``imagesearch/``) are kept; they survive a restart,
        and so does the key. None: a temporary folder, removed at the end.
    port : int
        0 takes a free one.
    **switches
        Every attribute of `imgprep.sandbox.config.Switches` and of
        `imgprep.sandbox.imagesearch.switches.ImageSearchSwitches`.

    Attributes
    ----------
    clock : Clock
        ``clock.advance(seconds)`` lets time pass for tasks, links and tokens.
    store : ObjectStore
        What is stored, to look at and to change behind the clients' backs.
    imagesearch : ImageSearch
        The other side.

    Raises
    ------
    TypeError
        A switch of an unknown name; the message gives the nearest.
    FileExistsError
        `root` holds something that is no sandbox's.

    Examples
    --------
    >>> with Sandbox() as sandbox:
    ...     sandbox.settings.is_sandbox
    True
    """

    def __init__(self, root: str | Path | None = None, port: int = 0, **switches: Any) -> None:
        self.switches, imagesearch_switches = sort_switches(switches)
        self._temporary = tempfile.TemporaryDirectory(prefix="imgprep-sandbox-") if root is None else None
        self.root = Path(self._temporary.name if self._temporary else root or "")
        _claim(self.root)
        self.clock = Clock(self.switches.skew)
        self._owner = self._key()
        self._keys = KeyRing(self._owner, self.switches.policy)
        self.store = ObjectStore(self.root / "objects")
        for name, region in self.switches.all_buckets().items():
            self.store.create_bucket(name, region, self.clock.now())
        shop = Shop(self.store, Uploads(self.store), self.clock, self.switches)
        self._oss = Oss(shop, self._keys)
        self._server = Server(self, port, self.switches.max_body)
        folder = self.root / "imagesearch"
        folder.mkdir(exist_ok=True)
        world = World(
            self.store,
            self.clock.now,
            lambda: self.url,
            self.switches.region,
            self.switches.account,
            wall=self.clock.wall,
        )
        self.imagesearch = ImageSearch(folder, world, self._keys.find, imagesearch_switches)
        self._running = self._stopped = False

    # Life

    def start(self) -> Self:
        """Begin to answer."""
        self._server.start()
        self._running = True
        return self

    def stop(self) -> None:
        """Break all connections and end; a temporary folder is removed."""
        if self._stopped:
            return
        self._stopped = True
        self._server.stop()
        self.imagesearch.stop()
        if self._temporary is not None:
            self._temporary.cleanup()

    def serve_forever(self) -> None:
        """Answer until interrupted (Ctrl+C), then end."""
        if not self._running:
            self.start()
        try:
            self._server.stopping.wait()
        except KeyboardInterrupt:
            pass
        finally:
            self.stop()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def __repr__(self) -> str:
        return f"<Sandbox {self.url}>"

    # What clients need

    @property
    def port(self) -> int:
        """The port."""
        return self._server.port

    @property
    def url(self) -> str:
        """The endpoint of both sides."""
        return f"http://{HOST}:{self.port}"

    @property
    def settings(self) -> Settings:
        """Settings that point every client here."""
        switches = self.switches
        return Settings(
            region=switches.region,
            oss_endpoint=self.url,
            imagesearch_endpoint=self.url,
            bucket=switches.bucket,
            path=switches.path,
            instance=switches.instance,
            role_arn=f"acs:ram::{switches.account}:role/{ROLE}",
            service=self.imagesearch.service(switches.instance),
            oss_credentials=StaticCredentials(self._owner),
            imagesearch_credentials=StaticCredentials(self._owner),
        )

    def environment(self) -> dict[str, str]:
        """Return the variables that point other processes here, the sandbox's own key among them.

        Returns
        -------
        dict of str to str
            For ``os.environ``, or to be printed as ``export NAME=value``. The key is good for this sandbox only.
        """
        settings = self.settings
        return {
            "IMGPREP_OSS_ENDPOINT": settings.oss_endpoint,
            "IMGPREP_IMAGESEARCH_ENDPOINT": settings.imagesearch_endpoint,
            "IMGPREP_REGION": settings.region,
            "IMGPREP_BUCKET": settings.bucket,
            "IMGPREP_PATH": settings.path,
            "IMGPREP_INSTANCE": settings.instance,
            "IMGPREP_ROLE_ARN": settings.role_arn,
            "OSS_ACCESS_KEY_ID": self._owner.access_key_id,
            "OSS_ACCESS_KEY_SECRET": self._owner.access_key_secret,
            "ALIBABA_CLOUD_ACCESS_KEY_ID": self._owner.access_key_id,
            "ALIBABA_CLOUD_ACCESS_KEY_SECRET": self._owner.access_key_secret,
            "NO_PROXY": HOST,
        }

    def issue_token(self, seconds: float = 3600.0, policy: Mapping[str, Any] | str | None = None) -> Credentials:
        """Return temporary credentials, as STS gives them; `policy` narrows what they may do."""
        return self._keys.issue(self.clock.now() + seconds, policy)

    def add_user(self, policy: Mapping[str, Any] | str | None = None) -> Credentials:
        """Return lasting credentials of a RAM user who may do what `policy` says."""
        return self._keys.add(policy)

    # What tests need

    def gallery(self, instance: str | None = None) -> list[dict[str, Any]]:
        """Return the images that an instance holds (None: that of `settings`); see `ImageSearch.gallery`."""
        return self.imagesearch.gallery(instance or self.switches.instance)

    def tasks(self, instance: str | None = None) -> list[dict[str, Any]]:
        """Return an instance's batch tasks (None: that of `settings`), newest first; see `ImageSearch.tasks`."""
        return self.imagesearch.tasks(instance or self.switches.instance)

    def finish_tasks(self) -> None:
        """Bring every running task to its end now, whatever the clock says."""
        self.imagesearch.finish_tasks()

    def set_role(
        self, policy: Mapping[str, Any] | str | None = None, trust: Mapping[str, Any] | str | None = None
    ) -> None:
        """Give the role through which tasks read the bucket other documents; see `ImageSearch.set_role`."""
        self.imagesearch.set_role(policy, trust)

    def set_faults(self, *faults: Fault | FaultKind) -> None:
        """Put these faults in the place of those in force; none: all is well again."""
        self._oss.faults.set(faults)

    def fault_hits(self) -> list[tuple[Fault, int]]:
        """Return each fault in force, and how many requests met it."""
        return self._oss.faults.hits()

    @property
    def requests(self) -> list[Handled]:
        """What the OSS side was asked for so far, oldest first (the last 200,000)."""
        return list(self._oss.handled)

    def forget_requests(self) -> None:
        """Begin `requests` anew."""
        self._oss.handled.clear()

    # What the server asks

    def begin(self, request: Request, length: int | None) -> Response | Literal["", "reset", "reset_body"]:
        """See `server.Application`."""
        return "" if _is_imagesearch(request) else self._oss.begin(request, length)

    def handle(self, request: Request) -> Response:
        """See `server.Application`."""
        if not _is_imagesearch(request):
            return self._oss.handle(request)
        reply = self.imagesearch.handle(request)
        return Response(
            reply.status, {"Content-Type": reply.content_type}, reply.body, ending=_ENDINGS.get(reply.ending, "")
        )

    def _key(self) -> Credentials:
        """Return the owner's key: as given, as kept by an earlier run, or a new one."""
        switches = self.switches
        if switches.access_key_id or switches.access_key_secret:
            if not (switches.access_key_id and switches.access_key_secret):
                raise TypeError("Sandbox: give access_key_id and access_key_secret, or neither")
            return Credentials(switches.access_key_id, switches.access_key_secret)
        file = self.root / _KEY_FILE
        if file.is_file():
            return Credentials(*json.loads(file.read_text(encoding="utf-8")))
        key = new_key()
        file.touch(mode=0o600)
        file.write_text(json.dumps([key.access_key_id, key.access_key_secret]), encoding="utf-8")
        return key


def _claim(root: Path) -> None:
    """Mark an empty folder as a sandbox's; what is in any other may be somebody's."""
    root.mkdir(parents=True, exist_ok=True)
    if not (root / _MARK).is_file():
        if any(root.iterdir()):
            raise FileExistsError(
                f"{root}: holds something that is no sandbox's; name a new or an empty folder as root"
            )
        (root / _MARK).touch()
    for name in ("objects", "imagesearch", _KEY_FILE):
        if (root / name).is_symlink():
            raise FileExistsError(
                f"{root / name}: is a link, which is not followed; name a new or an empty folder as root"
            )


def _is_imagesearch(request: Request) -> bool:
    return "x-acs-action" in request.headers or request.path.startswith(REPORTS)
