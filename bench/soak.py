"""An upload under every fault, killed again and again: nothing missing, nothing corrupt, increment.meta never early."""

import argparse
import hashlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd

from imgprep.cloud.oss import list_folder, open_bucket
from imgprep.core.fields import META_NAME
from imgprep.sandbox.faults import Fault
from imgprep.sandbox.sandbox import Sandbox

FAULTS = ("503", "reset", "answer_lost", "wrong_crc")
THREADS = 8
TINY = {"files": 60, "kills": 1}
_CHILD = """
import sys
import pandas as pd
from imgprep.ship.upload import upload
from imgprep.core.settings import Settings
frame = pd.read_parquet(sys.argv[1])
log = upload(frame, sys.argv[2], Settings.from_env(), progress=False, runs=sys.argv[2] + "/none", threads=8)
sys.exit(3 if log["outcome"].isin(["failed", "changed"]).any() else 0)
"""


def main(files: int = 20_000, kills: int = 20) -> None:
    draw = random.Random(1)
    with tempfile.TemporaryDirectory() as name, Sandbox() as server:
        root = Path(name)
        batch = _batch(root / "images", files)
        batch.to_parquet(root / "batch.parquet", index=False)
        server.set_faults(*(Fault(kind, rate=0.01, operation="PutObject", seed=at) for at, kind in enumerate(FAULTS)))
        command = [sys.executable, "-c", _CHILD, str(root / "batch.parquet"), str(root / "images")]
        environment = {**os.environ, **server.environment()}
        killed, started, done, seen, falsely, code = 0, time.perf_counter(), _Seen(), 0, 0, -1
        while True:
            child = subprocess.Popen(command, env=environment)
            target = seen + draw.randrange(files // (kills + 1) + 1) if killed < kills else files * 10
            while child.poll() is None and seen < target:
                time.sleep(0.01)
                seen += done.take(server)
            if child.poll() is None and killed < kills:
                os.kill(child.pid, signal.SIGKILL)
                killed += 1
            code = child.wait()
            seen += done.take(server)
            if code == 0 and killed < kills:
                falsely += int(not _complete(server, batch))
                break
            if killed >= kills and code in (0, 1, 2):
                break
        server.set_faults()
        stored = {key: there.md5 for key, there in list_folder(open_bucket(server.settings), "increment/")}
        wanted = {f"increment/{row.PicName}": row.digest for row in batch.itertuples()}
        missing = sum(key not in stored for key in wanted)
        corrupt = sum(stored.get(key) not in (None, digest) for key, digest in wanted.items())
        repeated = sum(count - 1 for count in done.puts.values() if count > 1)
        print(
            f"{files:,} files, 1 % each of {', '.join(FAULTS)}, {killed} x kill -9, "
            f"{time.perf_counter() - started:.0f} s"
        )
        print(f"last exit code {code}; missing {missing}, corrupt {corrupt}, falsely done {falsely}")
        print(f"increment.meta before an image: {done.early}; PUTs of what was stored already: {repeated}", end=" ")
        print(f"(at most {killed * THREADS} were under way when killed)")


class _Seen:
    """What the server stored, taken from its list of requests before that gets too long."""

    def __init__(self) -> None:
        self.puts: dict[str, int] = {}
        self.early = 0
        self._at = 0

    def take(self, server: Sandbox) -> int:
        requests, before = server.requests, len(self.puts)
        for request in requests[self._at :]:
            if request.operation == "PutObject" and request.status == 200:
                self.puts[request.key] = self.puts.get(request.key, 0) + 1
                if request.key.endswith(META_NAME):
                    self.meta_at = len(self.puts)
                elif hasattr(self, "meta_at"):
                    self.early += 1
        self._at = len(requests)
        return len(self.puts) - before


def _complete(server: Sandbox, batch: pd.DataFrame) -> bool:
    return len(dict(list_folder(open_bucket(server.settings), "increment/"))) == len(batch) + 1


def _batch(folder: Path, count: int) -> pd.DataFrame:
    folder.mkdir()
    draw, rows = random.Random(0), []
    for at in range(count):
        data, name = draw.randbytes(500), f"{at:06d}.jpg"
        (folder / name).write_bytes(data)
        rows.append(("ADD", str(at), name, "k:v", hashlib.md5(data).hexdigest()))
    return pd.DataFrame(rows, columns=["OperationType", "ProductId", "PicName", "CustomContent", "digest"])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=20_000)
    parser.add_argument("--kills", type=int, default=20)
    main(**vars(parser.parse_args()))
