"""Nobody changes a production gallery by running all cells."""

from __future__ import annotations

import sys

from imgprep.errors import ConfigError
from imgprep.settings import Settings


def confirm_production(settings: Settings) -> str:
    """Ask for the instance's name to be typed; return what was typed.

    A sandbox is never asked about. Where nobody can type (papermill, nbval, cron) it raises.

    Raises
    ------
    ConfigError
        Another name was typed, or nobody can type.

    Examples
    --------
    >>> with ip.Sandbox() as sandbox:
    ...     ip.confirm_production(sandbox.settings)
    'demo'
    """
    if settings.is_sandbox:
        return settings.instance
    question = f"PRODUCTION: this changes the gallery of instance {settings.instance!r}. Type its name to go on: "
    try:
        typed = input(question).strip()
    except Exception as error:  # IPython raises an error of its own where there is nobody to ask
        raise ConfigError(
            f"instance {settings.instance!r} is production and nobody can be asked; pass confirm={settings.instance!r}"
        ) from error
    check_confirmed(settings, typed)
    return typed


def check_confirmed(settings: Settings, confirm: str | None) -> None:
    """Return where sending to these settings is wanted; raise where not.

    Parameters
    ----------
    settings : Settings
        A sandbox needs no confirmation.
    confirm : str or None
        The instance's name, typed. None: a notebook asks for it now; elsewhere (a script, cron) the call itself is
        taken for the wish.

    Raises
    ------
    ConfigError
        The names differ.
    """
    if settings.is_sandbox:
        return
    if confirm is None:
        if in_notebook():
            confirm_production(settings)
        return
    if confirm != settings.instance:
        raise ConfigError(
            f"not confirmed: typed {confirm!r}, but the instance is {settings.instance!r}; nothing was sent"
        )


def in_notebook() -> bool:
    """Whether this runs in a notebook's kernel."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return shell is not None and hasattr(shell, "kernel")
