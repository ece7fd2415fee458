"""Where a store's file may lie: SQLite's WAL mode needs shared memory, which no network drive has."""

from __future__ import annotations

import sys
from pathlib import Path

from imgprep.errors import RegionError

NETWORK = frozenset(
    {"nfs", "nfs4", "cifs", "smb2", "smb3", "smbfs", "afs", "afpfs", "webdav", "davfs", "ncpfs", "glusterfs", "ceph"}
    | {
        f"fuse.{name}"
        for name in ("sshfs", "s3fs", "rclone", "gvfsd-fuse", "glusterfs", "ceph-fuse", "davfs2", "smbnetfs")
    }
)
"""File systems of another machine. Source: https://sqlite.org/wal.html, "all processes … on the same host"."""


def refuse_network_drive(path: Path, *, mounts: Path = Path("/proc/mounts")) -> None:
    """Raise where the file at `path` would lie on a network drive.

    Parameters
    ----------
    path : pathlib.Path
        The store's file; it need not exist.
    mounts : pathlib.Path
        The kernel's table of mounts; where there is none (macOS), nothing is known and nothing refused.

    Raises
    ------
    RegionError
        With the drive and what to do instead.
    """
    kind = _kind(path.absolute(), mounts)
    if kind:
        raise RegionError(
            f"{path}: lies on a network drive ({kind}), where SQLite can lose or mix up what two people save. "
            "Keep a store on each person's own disk (assign() splits the work) and bring them together with "
            "store.merge(other)."
        )


def _kind(path: Path, mounts: Path) -> str | None:
    if str(path).startswith(("\\\\", "//")) and not str(path).startswith("\\\\?\\"):
        return "a UNC path"
    if sys.platform == "win32":
        import ctypes  # noqa: PLC0415

        remote = 4  # DRIVE_REMOTE of GetDriveTypeW
        return "a mapped drive" if ctypes.windll.kernel32.GetDriveTypeW(path.anchor) == remote else None
    try:
        lines = mounts.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return None
    best, kind = -1, None
    real = path.parent.resolve() / path.name
    for line in lines:
        parts = line.split()
        if len(parts) < 3:
            continue
        where = Path(parts[1].replace("\\040", " "))
        # Later lines hide earlier ones mounted at the same place.
        if (real == where or where in real.parents) and len(where.parts) >= best:
            best, kind = len(where.parts), parts[2]
    return kind if kind in NETWORK else None
