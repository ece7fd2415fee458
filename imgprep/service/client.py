"""Calls of Image Search, through the vendor's SDK.

The SDK takes almost anything for an answer: ``{}`` parses, a wrong shape gives no body and no exception,
``Success: false`` raises nothing. So each answer is looked at here, and what is missing is an error.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Mapping
from typing import Any, TypeVar
from urllib.parse import urlsplit

from imgprep.clock import Clock, SystemClock
from imgprep.errors import ServiceError
from imgprep.service import answers
from imgprep.service.answers import Instance, Task
from imgprep.service.refusals import THROTTLED, AnswerLost, wrapped
from imgprep.settings import CredentialsProvider, Settings, certificates, is_loopback

_log = logging.getLogger(__name__)
_T = TypeVar("_T")

#: IncreaseList, DumpMeta, DumpMetaList and Detail take one request a second. Source: api.
SECONDS_BETWEEN = 1.0
#: Tasks asked for at once; the service takes up to 500, exports up to 30. Source: api.
PAGE_SIZE, EXPORT_PAGE_SIZE = 100, 30
CONNECT_MS, READ_MS = 10_000, 30_000


class ImageSearch:
    """One instance of Image Search.

    Parameters
    ----------
    settings : Settings
        Names the endpoint, the instance, the bucket and the path.
    clock : Clock
        Waits between calls.
    patience : float
        Seconds that a *reading* call is tried again after throttling, 5xx answers and lost connections.
        IncreaseInstance is never tried again here: it has no idempotency token.
    """

    def __init__(self, settings: Settings, *, clock: Clock | None = None, patience: float = 120.0) -> None:
        settings.require("instance")
        self.settings = settings
        self._clock = clock or SystemClock()
        self._patience = patience
        self._last: dict[str, float] = {}
        self._client: Any = None

    def start_task(self) -> str:
        """Create a batch task (IncreaseInstance), once.

        Returns
        -------
        str
            The task's id.

        Raises
        ------
        AnswerLost
            Nobody knows whether there is a task now: ask `tasks`.
        ServiceError
            Refused; nothing was started.
        """
        self.settings.require("bucket", "path")
        request: dict[str, Any] = {"bucket_name": self.settings.bucket, "path": self.settings.path}
        if self.settings.callback:
            request["callback_address"] = self.settings.callback
        answer = self._call("IncreaseInstance", request)
        if answer.get("Success") is False:
            raise answers.unsuccessful("IncreaseInstance", answer)
        number = answers.dig(answer, "Data", "Id")
        if number in (None, ""):
            raise AnswerLost(
                "IncreaseInstance: the answer names no task; `imgprep tasks` shows whether there is one",
                request_id=answer.get("RequestId"),
            )
        return str(number)

    def tasks(self, task_id: str | None = None, *, newest: int | None = None) -> list[Task]:
        """Return batch tasks of the instance (IncreaseList), newest first: all, the one named, or the `newest`."""
        found: list[Task] = []
        asked: dict[str, Any] = {} if task_id is None else {"id": task_id}
        page, size = 1, min(newest or PAGE_SIZE, PAGE_SIZE)
        while True:
            request = {**asked, "page_size": size, "page_number": page}
            shown, total = self._read(
                "IncreaseList", request, lambda answer: answers.page(answer, "Increments", "Instance")
            )
            found += shown
            last = len(shown) < size if total is None else page * size >= total
            if not shown or last or (newest and len(found) >= newest):
                break
            page += 1
        unique = {task.id: task for task in found}  # a task made between two pages shifts them
        order = sorted(
            unique.values(), key=lambda task: (task.created is not None, task.created, task.id), reverse=True
        )
        return order if task_id is None else [task for task in order if task.id == str(task_id)]

    def task(self, task_id: str) -> Task | None:
        """Return one task, or None where the service does not know it."""
        return next(iter(self.tasks(task_id)), None)

    def detail(self) -> Instance:
        """Return what the instance is (Detail)."""
        return self._read("Detail", {}, answers.instance)

    def image_exists(self, product_id: str, pic_name: str) -> bool:
        """Whether the gallery holds an image (CheckImageExists)."""
        return self._read("CheckImageExists", {"product_id": product_id, "pic_name": pic_name}, answers.exists)

    def start_export(self) -> str:
        """Ask for an export of the gallery (DumpMeta); return the export's id. One runs at a time."""
        answer = self._call("DumpMeta", {})
        number = answers.dig(answer, "Data", "Id")
        if answer.get("Success") is False or number in (None, ""):
            raise answers.unsuccessful("DumpMeta", answer)
        return str(number)

    def exports(self, export_id: str | None = None) -> list[Task]:
        """Return exports (DumpMetaList), newest first: the last 30, or the one named.

        An export's ``report_url`` is the link to the gallery's content.
        """
        asked: dict[str, Any] = {} if export_id is None else {"id": export_id}
        request = {**asked, "page_size": EXPORT_PAGE_SIZE, "page_number": 1}
        shown, _ = self._read("DumpMetaList", request, lambda answer: answers.page(answer, "DumpMetaList"))
        return [task for task in shown if export_id in (None, task.id)]

    def _read(self, action: str, request: Mapping[str, Any], parse: Callable[[dict[str, Any]], _T]) -> _T:
        """Call until there is an answer that makes sense; what only reads may be asked again."""
        started, pause = self._clock.monotonic(), SECONDS_BETWEEN
        while True:
            try:
                return parse(self._call(action, request))
            except ServiceError as error:
                again = isinstance(error, AnswerLost) or error.code in THROTTLED
                if not again or self._clock.monotonic() - started + pause > self._patience:
                    raise
                level = logging.WARNING if isinstance(error, AnswerLost) else logging.INFO
                _log.log(level, "%s: asking again in %.0f s: %s", action, pause, error)
                # Jitter: several people may follow one instance, which takes one request a second from all of them.
                self._clock.sleep(pause + random.uniform(0, pause / 2))  # noqa: S311
                pause = min(pause * 2, 15.0)

    def _call(self, action: str, request: Mapping[str, Any]) -> dict[str, Any]:
        wait = self._last.get(action, float("-inf")) + SECONDS_BETWEEN - self._clock.monotonic()
        if wait > 0:
            self._clock.sleep(wait)
        from alibabacloud_imagesearch20201214 import models  # noqa: PLC0415  heavy
        from darabonba.runtime import RuntimeOptions  # noqa: PLC0415

        name = "".join(f"_{char.lower()}" if char.isupper() else char for char in action).lstrip("_")
        method = getattr(self._connected(), f"{name}_with_options")
        full = getattr(models, f"{action}Request")(instance_name=self.settings.instance, **request)
        try:
            response = method(full, RuntimeOptions(connect_timeout=CONNECT_MS, read_timeout=READ_MS))
            body = None if response is None or response.body is None else response.body.to_map()
        except Exception as error:  # the SDK raises whatever its parts raise
            raise wrapped(action, self.settings.instance, error) from error
        finally:
            self._last[action] = self._clock.monotonic()
        if not isinstance(body, dict) or not body:
            raise AnswerLost(f"{action}: the answer is empty; is {self.settings.imagesearch_url} Image Search?")
        return body

    def _connected(self) -> Any:
        if self._client is None:
            from alibabacloud_imagesearch20201214.client import Client  # noqa: PLC0415  heavy
            from alibabacloud_tea_openapi.utils_models import Config  # noqa: PLC0415

            url = urlsplit(self.settings.imagesearch_url)
            config = Config(
                credential=_Bridge(self.settings.imagesearch_credentials),
                endpoint=url.netloc,
                protocol=url.scheme.upper(),
                region_id=self.settings.region or None,
                user_agent="imgprep",
                ca=certificates(),
            )
            if is_loopback(self.settings.imagesearch_url):
                # The SDK sends even loopback through HTTP_PROXY and knows no exception from that, but a proxy that
                # is named wins over the environment: so the server is its own proxy, and nobody is in between.
                config.http_proxy = f"http://{url.netloc}"
            self._client = Client(config)
        return self._client


class _Bridge:
    """Our provider in the shape that the SDK asks; it is asked at each call, so credentials stay fresh."""

    def __init__(self, provider: CredentialsProvider) -> None:
        self._provider = provider

    def get_credential(self) -> Any:
        from alibabacloud_credentials.models import CredentialModel  # noqa: PLC0415  heavy

        found = self._provider.credentials()
        return CredentialModel(
            access_key_id=found.access_key_id,
            access_key_secret=found.access_key_secret,
            security_token=found.security_token,
            type="sts" if found.security_token else "access_key",
        )
