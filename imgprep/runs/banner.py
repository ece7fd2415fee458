"""Where the cells below send to, in a colour that cannot be overlooked."""

from __future__ import annotations

import html
from dataclasses import dataclass

from imgprep.settings import Settings

_SANDBOX, _PRODUCTION = "#1f6feb", "#b42318"


@dataclass(frozen=True, slots=True)
class Banner:
    """SANDBOX, or PRODUCTION with the instance's name; from `banner`."""

    production: bool
    text: str

    def __repr__(self) -> str:
        return f"{'PRODUCTION' if self.production else 'SANDBOX'}: {self.text}"

    def _repr_html_(self) -> str:
        word, _, rest = repr(self).partition(": ")
        style = f"background: {_PRODUCTION if self.production else _SANDBOX}; color: #fff; padding: 8px 12px"
        return f'<div style="{style}"><b>{word}</b> · {html.escape(rest)}</div>'


def banner(settings: Settings) -> Banner:
    """Return a banner that says what these settings lead to, for the top of a notebook.

    Parameters
    ----------
    settings : Settings
        Where would be sent to.

    Examples
    --------
    >>> banner(Settings(region="cn-shanghai", instance="shop", bucket="pictures", path="/increment"))
    PRODUCTION: instance shop in cn-shanghai, bucket pictures, path /increment
    """
    name = settings.instance or "not set"
    if settings.is_sandbox:
        return Banner(False, f"instance {name}; a server on this machine, nothing real is changed")
    region = f" in {settings.region}" if settings.region else ""
    place = f", bucket {settings.bucket or 'not set'}, path {settings.path or 'not set'}"
    return Banner(True, f"instance {name}{region}{place}")
