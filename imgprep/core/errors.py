"""The exceptions of imgprep.

::

    ImgprepError
    ├── ConfigError         bad settings, project file or credentials; nothing was sent
    │   └── NothingToSend   a batch without lines; the command ends with exit code 0
    ├── CatalogueError      a catalogue is unreadable as a whole
    ├── MetaError           an increment.meta has bad lines; .findings lists every problem
    ├── RegionError         four numbers do not form a region, or the region is not inside its image
    ├── StorageError        OSS refused a request or could not be reached; .key .code .request_id
    ├── ServiceError        Image Search refused a request or could not be reached; .code .request_id
    └── ReportError         an error report cannot be read, or belongs to another batch

Bad *data* is data: checks return findings and do not raise. Exceptions are for bad calls and failing services.
A message states the place, the problem, the rule, and the remedy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd


class ImgprepError(Exception):
    """Base class of imgprep's exceptions. A notebook shows it as one block with a folded traceback."""

    def _render_traceback_(self) -> list[str]:
        """Return the lines that IPython shows; IPython calls this hook."""
        from imgprep.core.notebook import error_lines  # noqa: PLC0415  only when IPython shows an error

        return error_lines(self)


class ConfigError(ImgprepError):
    """Settings, the project file or credentials are missing or wrong; nothing was sent."""


class NothingToSend(ConfigError):
    """The batch has no lines because the gallery already matches the catalogue; no task is started."""


class CatalogueError(ImgprepError):
    """A catalogue is unreadable as a whole. Individual bad rows are findings."""


class MetaError(ImgprepError):
    """An increment.meta has lines that the service cannot parse.

    Attributes
    ----------
    findings : pandas.DataFrame
        One row per problem, with ``line``, ``field``, ``value``, ``message`` and ``fix``.
    """

    def __init__(self, message: str, findings: pd.DataFrame | None = None) -> None:
        super().__init__(message)
        self.findings = findings


class RegionError(ImgprepError, ValueError):
    """Four numbers do not form a region, or the region is not inside its image."""


class StorageError(ImgprepError):
    """OSS refused a request or could not be reached.

    Attributes
    ----------
    key : str or None
        The object key of the request.
    code : str or None
        OSS error code (``NoSuchBucket``, ``AccessDenied``, …); None if there was no response.
    request_id : str or None
        Request id, to quote to the vendor's support.
    passing : bool
        Whether the same request may succeed later unchanged: there was no response, or OSS was busy.
    """

    def __init__(
        self,
        message: str,
        *,
        key: str | None = None,
        code: str | None = None,
        request_id: str | None = None,
        passing: bool | None = None,
    ) -> None:
        super().__init__(message)
        self.key = key
        self.code = code
        self.request_id = request_id
        self.passing = code is None if passing is None else passing


class ServiceError(ImgprepError):
    """Image Search refused a request, returned an unusable response, or could not be reached.

    Attributes
    ----------
    code : str or None
        The service's error code; None if there was no usable response.
    request_id : str or None
        Request id, to quote to the vendor's support.
    passing : bool
        Whether the same request may succeed later unchanged: there was no response, or the service was busy.
    """

    def __init__(
        self, message: str, *, code: str | None = None, request_id: str | None = None, passing: bool | None = None
    ) -> None:
        super().__init__(message)
        self.code = code
        self.request_id = request_id
        self.passing = code is None if passing is None else passing


class ReportError(ImgprepError):
    """An error report cannot be read, or belongs to another batch."""
