"""Whole pictures told apart to the pixel: decoded in other processes, as everything from a catalogue is."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from typing import Any

import pandas as pd

from imgprep.core.processes import LostTask, run_in_processes
from imgprep.images.storage import open_source
from imgprep.images.upright import open_upright

_CHUNK = 4


def whole_pixels(facts: pd.DataFrame, pairs: Iterable[tuple[int, int]], root: str | os.PathLike[str]) -> pd.Series[Any]:
    """Return a digest of all pixels, upright and in plain RGB, of every picture that may equal another one."""
    digests, names = facts["digest"].tolist(), facts["PicName"].tolist()
    sides = [tuple(sorted(map(str, pair))) for pair in zip(facts["width"], facts["height"], strict=True)]
    wanted = {at for pair in pairs if sides[pair[0]] == sides[pair[1]] for at in pair}
    one_of_each = {digests[at]: names[at] for at in sorted(wanted)}
    where = os.path.abspath(root)  # noqa: PTH100  links in it stay
    tasks = [(where, name, digest) for digest, name in one_of_each.items() if isinstance(digest, str)]
    found: dict[str, str | None] = {}
    for (_, _, digest), answer in run_in_processes("imgprep.look.pixel_digests:digest_of", tasks, chunk=_CHUNK):
        found[digest] = None if isinstance(answer, LostTask) else answer
    return pd.Series([found.get(digests[at]) if at in wanted else None for at in range(len(facts))], dtype="str")


def digest_of(task: tuple[str, str, str]) -> str | None:
    """Return the digest of one picture's pixels: (root, name, digest of its bytes as inspected)."""
    root, name, expected = task
    try:
        source = open_source(root)
        data = source.read(source.find(name))
        if hashlib.md5(data).hexdigest() != expected:
            return None
        image = open_upright(data)
        return hashlib.sha256(b"%d,%d " % image.size + image.tobytes()).hexdigest()[:32]
    except Exception:  # noqa: BLE001  what cannot be decoded equals nothing
        return None
