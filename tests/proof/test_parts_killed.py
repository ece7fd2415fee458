"""A build in parts whose process is killed goes on when it is repeated, and nothing can be sent in between."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from imgprep.plan.parts import build_parts

ROWS, PARTS = 60_000, 12


@pytest.mark.proof
def test_a_killed_build_goes_on_and_its_lines_are_those_of_an_undisturbed_one(tmp_path):
    path, out = tmp_path / "export.csv", tmp_path / "out"
    path.write_text(
        "ProductId,PicName,CustomContent\n" + "".join(f"{n // 2},{n}.jpg,title:Shirt {n}\n" for n in range(ROWS))
    )
    code = f"from imgprep.plan.parts import build_parts; build_parts({str(path)!r}, {str(out)!r}, parts={PARTS})"
    process = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL)
    state = out / "parts.json"
    try:
        while process.poll() is None and not (state.exists() and len(json.loads(state.read_text())["parts"]) >= 2):
            time.sleep(0.01)
        assert process.poll() is None, "the build ended before it could be killed"
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    done = len(json.loads(state.read_text())["parts"])
    assert 2 <= done < PARTS
    assert not list(out.rglob("increment.meta"))
    finished = {
        folder.name: (folder / "batch.parquet").stat().st_mtime_ns
        for folder in out.glob("part-0*")
        if (folder / "increment.meta.held").exists()
    }
    (out / ".imgprep-draft-0123456789abcdef.parquet").write_bytes(b"half")  # as a kill at another moment leaves
    again = build_parts(path, out, progress=False, parts=PARTS)
    assert not list(out.rglob(".imgprep-draft-*"))
    whole = build_parts(path, tmp_path / "whole", progress=False, parts=PARTS)
    for folder, other in zip(again.folders, whole.folders, strict=True):
        assert (folder / "increment.meta").read_bytes() == (other / "increment.meta").read_bytes()
    kept = [name for name, at in finished.items() if (out / name / "batch.parquet").stat().st_mtime_ns == at]
    assert len(kept) >= done
