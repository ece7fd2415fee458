"""How a sandbox behaves: every switch, with the nearest known name where one is misspelt."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from imgprep.sandbox.faults import Fault, FaultKind
from imgprep.sandbox.imagesearch.switches import ImageSearchSwitches

#: OSS takes 5 GB in one PUT; the sandbox holds a body in memory.
MAX_BODY = 256 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Switches:
    """Switches of the sandbox as a whole and of its OSS side; each is an argument of ``Sandbox``.

    Attributes
    ----------
    region, account : str
        Where everything is, and whose it is.
    bucket, path, instance : str
        What `Sandbox.settings` names. The bucket is made at the start.
    buckets : sequence of str, or mapping of str to str
        More buckets to make; a mapping gives their regions. A bucket of another region answers as the wrong endpoint.
    access_key_id, access_key_secret : str
        The owner's key. Empty: a random one, kept under `root`, so that it survives a restart.
    policy : mapping or str or None
        RAM policy document of the owner's key; None: it may do everything.
    denied_prefixes : sequence of str
        Keys that start with one of these are AccessDenied.
    denied_operations : sequence of str
        Operations that are AccessDenied, such as ``ListObjects``.
    oss_activated : bool
        False: OSS is not activated for the account, every request is UserDisable.
    oss_region_check : bool
        Whether a bucket of another region is refused.
    skew : float
        Seconds that the sandbox's clock is ahead of the true time.
    max_body : int
        Bytes that a request's body may have; more is EntityTooLarge.
    min_part : int
        Bytes that every part but the last of a multipart upload must have.
    faults : sequence of Fault or str
        Faults on purpose, see `Fault`; a text is a kind that every request meets.
    """

    region: str = "cn-shanghai"
    account: str = "1234567890123456"
    bucket: str = "imgprep-demo"
    path: str = "/increment"
    instance: str = "demo"
    buckets: Sequence[str] | Mapping[str, str] = ()
    access_key_id: str = ""
    access_key_secret: str = field(default="", repr=False)
    policy: Mapping[str, Any] | str | None = None
    denied_prefixes: Sequence[str] = ()
    denied_operations: Sequence[str] = ()
    oss_activated: bool = True
    oss_region_check: bool = True
    skew: float = 0.0
    max_body: int = MAX_BODY
    min_part: int = 100 * 1024
    faults: Sequence[Fault | FaultKind] = ()

    def all_buckets(self) -> dict[str, str]:
        """Return the buckets to make: name → region."""
        more = self.buckets if isinstance(self.buckets, Mapping) else dict.fromkeys(self.buckets, self.region)
        return {self.bucket: self.region, **more}


def sort_switches(given: Mapping[str, Any]) -> tuple[Switches, ImageSearchSwitches]:
    """Return the switches of both sides from the arguments of ``Sandbox``."""
    ours, theirs = ({item.name for item in fields(cls)} for cls in (Switches, ImageSearchSwitches))
    for name in given:
        if name not in ours | theirs:
            close = difflib.get_close_matches(name, ours | theirs, n=1)
            hint = f"; did you mean {close[0]}?" if close else ""
            raise TypeError(f"Sandbox: there is no switch {name!r}{hint} Known: {', '.join(sorted(ours | theirs))}")
    switches = Switches(**{name: value for name, value in given.items() if name in ours})
    if "instances" not in given and "instance" in given:
        given = {**given, "instances": {switches.instance: "product"}}
    return switches, ImageSearchSwitches(**{name: value for name, value in given.items() if name in theirs})
