"""The exceptions of imgprep.

::

    ImgprepError
    ├── ConfigError         settings, project file, credentials: nothing was sent
    │   └── NothingToSend   a batch without lines; the command ends with exit code 0
    ├── CatalogueError      a catalogue cannot be read at all
    ├── MetaError           an increment.meta has bad lines; .findings has every one
    ├── RegionError         four numbers are not a region, or not on its image
    ├── StorageError        OSS refused, or could not be reached; .key .code .request_id
    ├── ServiceError        Image Search refused, or could not be reached; .code .request_id
    └── ReportError         an error report cannot be read, or belongs to another batch

Bad *data* is data: checks return findings and do not raise. These are for bad calls and failing services.
A message says where, what, the rule, and the remedy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd


class ImgprepError(Exception):
    """Base class of the exceptions of imgprep. In a notebook it is shown as one block, its traceback folded away."""

    def _render_traceback_(self) -> list[str]:
        """Return the lines that IPython shows; it calls this."""
        from imgprep.core.notebook import error_lines  # noqa: PLC0415  only when IPython shows an error

        return error_lines(self)


class ConfigError(ImgprepError):
    """Settings, the project file or credentials are missing or wrong; nothing was sent."""


class NothingToSend(ConfigError):
    """The batch has no lines: the gallery already matches the catalogue, and no task is started."""


class CatalogueError(ImgprepError):
    """A catalogue cannot be read at all. Single bad rows are findings."""


class MetaError(ImgprepError):
    """An increment.meta has lines that the service would not understand.

    Attributes
    ----------
    findings : pandas.DataFrame
        One row per problem, with ``line``, ``field``, ``value``, ``message`` and ``fix``.
    """

    def __init__(self, message: str, findings: pd.DataFrame | None = None) -> None:
        super().__init__(message)
        self.findings = findings


class RegionError(ImgprepError, ValueError):
    """Four numbers are not a region, or the region is not on its image."""


class StorageError(ImgprepError):
    """OSS refused a request or could not be reached.

    Attributes
    ----------
    key : str or None
        The object key of the request.
    code : str or None
        Code of the OSS error (``NoSuchBucket``, ``AccessDenied``, …); None if no answer came.
    request_id : str or None
        Id of the request, for the vendor's support.
    passing : bool
        Whether the same request may succeed later without a change: no answer came, or OSS was busy.
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
    """Image Search refused a request, gave an unusable answer, or could not be reached.

    Attributes
    ----------
    code : str or None
        The service's error code; None if no usable answer came.
    request_id : str or None
        Id of the request, for the vendor's support.
    passing : bool
        Whether the same request may succeed later without a change: no answer came, or the service was busy.
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
