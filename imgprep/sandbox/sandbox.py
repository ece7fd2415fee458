"""The sandbox: one port on loopback that serves OSS and Image Search."""

from __future__ import annotations

import json
import re
import secrets
import tempfile
from pathlib import Path
from typing import Any, Self

from imgprep.core.credentials import Credentials, StaticCredentials
from imgprep.core.service_facts import load_facts
from imgprep.core.settings import Settings
from imgprep.sandbox.access import Document, KeyRing, new_key
from imgprep.sandbox.config import Backend, Clock, Switches
from imgprep.sandbox.faults import Fault, FaultKind
from imgprep.sandbox.http import Request, Response
from imgprep.sandbox.imagesearch.reports import PREFIX
from imgprep.sandbox.imagesearch.service import Called, ImageSearch
from imgprep.sandbox.oss.service import Handled, Oss
from imgprep.sandbox.oss.storage import ObjectStore, Uploads
from imgprep.sandbox.server import HOST, Server

ROLE = "imagesearch-reader"
_KEY_FILE = "key.json"
#: File that marks a folder whose content the sandbox may change and remove.
_MARK = ".imgprep-sandbox"


class Sandbox:
    """OSS and Image Search on this machine, for the real clients and protocols, free of charge and private.

    Parameters
    ----------
    root : path, optional
        Folder for the objects (``objects/``), the Image Search state (``imagesearch/``) and the owner's key, all of
        which survive a restart. None: a temporary folder, removed at the end.
    port : int
        The port to listen on; 0 selects a free one.
    facts : path, optional
        A ``service-facts.toml``: the sandbox then behaves as `calibrate` found the instance to behave. Switches that
        are given here take precedence.
    **switches
        Every attribute of `imgprep.sandbox.config.Switches`.

    Attributes
    ----------
    identity : str
        Identifies this sandbox's gallery; stored in `root`, so that it stays the same after a restart on another port.
    clock : Clock
        The sandbox's clock; ``clock.advance(seconds)`` lets time pass for tasks, links and tokens.
    store : ObjectStore
        The stored objects; tests can inspect them, or change them behind the clients' backs.
    imagesearch : ImageSearch
        The Image Search service.

    Raises
    ------
    TypeError
        If a switch is unknown; the message suggests the closest known one.
    FileExistsError
        If `root` contains files that are not a sandbox's.

    Examples
    --------
    >>> with Sandbox() as sandbox:
    ...     sandbox.settings.is_sandbox
    True
    """

    def __init__(
        self, root: str | Path | None = None, port: int = 0, *, facts: str | Path | None = None, **switches: Any
    ) -> None:
        self.switches = Switches.of({**({} if facts is None else load_facts(facts).switches), **switches})
        self._temporary = tempfile.TemporaryDirectory(prefix="imgprep-sandbox-") if root is None else None
        self.root = Path(self._temporary.name if self._temporary else root or "")
        self.identity = _claim(self.root, "temporary" if self._temporary else self.root.resolve().name)
        self.clock = Clock(self.switches.skew)
        self._owner = self._key()
        self._keys = KeyRing(self._owner, self.switches.policy)
        self.store = ObjectStore(self.root / "objects")
        for name, region in self.switches.all_buckets().items():
            self.store.create_bucket(name, region, self.clock.now())
        backend = Backend(self.store, Uploads(self.store), self.clock, self.switches)
        self._oss = Oss(backend, self._keys)
        self._server = Server(self._begin, self._handle, port, self.switches.max_body)
        self.imagesearch = ImageSearch(self.root / "imagesearch", backend, self._keys, lambda: self.url)
        self._running = self._stopped = False

    def start(self) -> Self:
        """Start answering requests."""
        self._server.start()
        self._running = True
        return self

    def stop(self) -> None:
        """Break all connections and stop; remove the folder if it is temporary."""
        if self._stopped:
            return
        self._stopped = True
        self._server.stop()
        self.imagesearch.stop()
        if self._temporary is not None:
            self._temporary.cleanup()

    def serve_forever(self) -> None:
        """Answer requests until interrupted (Ctrl+C), then stop."""
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

    def __exit__(self, *_: object) -> None:
        self.stop()

    def __repr__(self) -> str:
        return f"<Sandbox {self.url}>"

    # For clients

    @property
    def port(self) -> int:
        """The port on which the sandbox listens."""
        return self._server.port

    @property
    def url(self) -> str:
        """The endpoint of both services."""
        return f"http://{HOST}:{self.port}"

    @property
    def settings(self) -> Settings:
        """Settings that point every client at this sandbox."""
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
            sandbox=self.identity,
            oss_credentials=StaticCredentials(self._owner),
            imagesearch_credentials=StaticCredentials(self._owner),
        )

    def environment(self) -> dict[str, str]:
        """Return the environment variables that point other processes at this sandbox.

        Returns
        -------
        dict of str to str
            For ``os.environ``, or to print as ``export NAME=value``. The variables include the sandbox's own key, which
            is valid only for this sandbox.
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
            "IMGPREP_SANDBOX": settings.sandbox,
            "OSS_ACCESS_KEY_ID": self._owner.access_key_id,
            "OSS_ACCESS_KEY_SECRET": self._owner.access_key_secret,
            "ALIBABA_CLOUD_ACCESS_KEY_ID": self._owner.access_key_id,
            "ALIBABA_CLOUD_ACCESS_KEY_SECRET": self._owner.access_key_secret,
            "NO_PROXY": HOST,
        }

    def issue_token(self, seconds: float = 3600.0, policy: Document | None = None) -> Credentials:
        """Return temporary credentials like those from STS; `policy` limits what they may do."""
        return self._keys.issue(self.clock.now() + seconds, policy)

    def add_user(self, policy: Document | None = None) -> Credentials:
        """Return permanent credentials for a RAM user with this policy."""
        return self._keys.add(policy)

    # For tests

    def gallery(self, instance: str | None = None) -> list[dict[str, Any]]:
        """Return the images that an instance holds (None: the one in `settings`); see `ImageSearch.gallery`."""
        return self.imagesearch.gallery(instance or self.switches.instance)

    def tasks(self, instance: str | None = None) -> list[dict[str, Any]]:
        """Return an instance's batch tasks (None: the one in `settings`), newest first; see `ImageSearch.tasks`."""
        return self.imagesearch.tasks(instance or self.switches.instance)

    def finish_tasks(self) -> None:
        """End every running task now, regardless of the clock."""
        self.imagesearch.finish_tasks()

    def cancel_tasks(
        self, *, done: float = 0.5, status: str = "CANCELLED", report: bool = False, instance: str | None = None
    ) -> None:
        """Cancel the running batch tasks of an instance (None: the one in `settings`), as the console can.

        Parameters
        ----------
        done : float
            The share of each task's lines, 0 to 1, that is processed before the cancellation.
        status : str
            The status in IncreaseList after the cancellation; the vendor does not document it.
        report : bool
            Whether there is an error report on the lines that failed before; the vendor does not document this either.
        instance : str, optional
            The instance's name.
        """
        self.imagesearch.cancel_tasks(instance or self.switches.instance, done, status, report=report)

    def set_role(self, policy: Document | None = None, trust: Document | None = None) -> None:
        """Replace the documents of the role with which tasks read the bucket; see `ImageSearch.set_role`."""
        self.imagesearch.set_role(policy, trust)

    def set_faults(self, *faults: Fault | FaultKind) -> None:
        """Replace the faults on the OSS side; without arguments, remove them all."""
        self._oss.set_faults(*faults)

    def fault_hits(self) -> list[tuple[Fault, int]]:
        """Return each fault on the OSS side, and how many requests it has affected."""
        return self._oss.faults.hits()

    @property
    def requests(self) -> list[Handled]:
        """The requests that the OSS side received, oldest first (the last 200,000)."""
        return list(self._oss.handled)

    def moved(self, access_key_id: str = "") -> tuple[int, int]:
        """Return the bytes of the bodies that clients sent to OSS and got from it, of one key or of all.

        Copies within OSS move none.
        """
        return self._oss.moved(access_key_id)

    @property
    def calls(self) -> list[Called]:
        """The calls that the Image Search side received, oldest first (the last 200,000)."""
        return list(self.imagesearch.calls)

    def lose(self, product_id: str, pic_name: str, instance: str | None = None) -> None:
        """Remove an image from a gallery without a task, as if the service had lost it."""
        self.imagesearch.lose(instance or self.switches.instance, product_id, pic_name)

    def forget_requests(self) -> None:
        """Clear the record of requests and bytes."""
        self._oss.forget()

    # For the server

    def _begin(self, request: Request, length: int | None) -> Response | None:
        return (self.imagesearch if _is_imagesearch(request) else self._oss).begin(request, length)

    def _handle(self, request: Request) -> Response:
        return self.imagesearch.handle(request) if _is_imagesearch(request) else self._oss.handle(request)

    def _key(self) -> Credentials:
        """Return the owner's key: from the switches, as stored in `root` by an earlier sandbox, or a new one."""
        switches = self.switches
        if switches.access_key_id or switches.access_key_secret:
            if not (switches.access_key_id and switches.access_key_secret):
                raise TypeError("Sandbox: give both access_key_id and access_key_secret, or neither")
            return Credentials(switches.access_key_id, switches.access_key_secret)
        file = self.root / _KEY_FILE
        if file.is_file():
            return Credentials(*json.loads(file.read_text(encoding="utf-8")))
        key = new_key()
        file.touch(mode=0o600)
        file.write_text(json.dumps([key.access_key_id, key.access_key_secret]), encoding="utf-8")
        return key


def _claim(root: Path, name: str) -> str:
    """Mark an empty folder as a sandbox's; return its identity. Refuse any other folder: it may hold a user's files."""
    root.mkdir(parents=True, exist_ok=True)
    if not (root / _MARK).is_file() and any(root.iterdir()):
        raise FileExistsError(
            f"{root}: contains files that do not belong to a sandbox; pass a new or empty folder as root"
        )
    for part in ("objects", "imagesearch", _KEY_FILE, _MARK):
        if (root / part).is_symlink():
            raise FileExistsError(
                f"{root / part}: is a link, and links are not followed; pass a new or empty folder as root"
            )
    mark = root / _MARK
    identity = mark.read_text(encoding="utf-8").strip() if mark.is_file() else ""
    if not identity:  # a new folder, or one from a version without identities
        identity = f"{re.sub('[^A-Za-z0-9_.]+', '-', name).strip('-') or 'sandbox'}-{secrets.token_hex(4)}"
        mark.write_text(identity + "\n", encoding="utf-8")
    return identity


def _is_imagesearch(request: Request) -> bool:
    return "x-acs-action" in request.headers or request.path.startswith(PREFIX)
