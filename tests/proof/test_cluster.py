"""From OSS to a reconciled batch on a Dask cluster of two workers, each killed once in the middle of a step."""

import os
import signal
import threading
import time
from collections import Counter

import pandas as pd
import pytest

from imgprep.core.executors import open_cluster
from imgprep.core.settings import OssRoot
from imgprep.look.inspect import inspect_images
from imgprep.plan.build import build_batch
from imgprep.sandbox.sandbox import Sandbox
from imgprep.ship.submit import submit
from imgprep.ship.upload import upload
from tests.unit.images_made import encoded, photo, turned

pytest.importorskip("distributed")
COUNT = 600


def killing_one(client):
    """Kill a worker once it has done a part of the work."""

    def kill():
        time.sleep(0.5)
        os.kill(next(iter(client.run(os.getpid).values())), signal.SIGKILL)

    thread = threading.Thread(target=kill)
    thread.start()
    return thread


def test_a_killed_worker_loses_nothing_and_sends_nothing_twice(tmp_path, monkeypatch):
    with Sandbox(task_seconds=0, buckets=["their-photos"]) as sandbox:
        for name, value in sandbox.environment().items():
            monkeypatch.setenv(name, value)
        for number in range(COUNT):
            data = turned(photo(number), 6) if number % 20 == 0 else encoded(photo(number))
            sandbox.store.put("their-photos", f"photos/{number}.jpg", data, modified=1_790_000_000.0)
        root = OssRoot.parse("oss://their-photos/photos", sandbox.settings)
        catalogue = pd.DataFrame({"PicName": [f"{number}.jpg" for number in range(COUNT)], "CategoryId": 0})
        catalogue["CustomContent"] = "kind:photo"
        catalogue["ProductId"] = [f"P{number}" for number in range(COUNT)]
        with open_cluster("local:2") as client:
            thread = killing_one(client)
            facts = inspect_images(catalogue, root, executor=client, cache=tmp_path / "cache", progress=False)
            thread.join()
            assert facts["decodes"].all() and len(facts) == COUNT
            built = build_batch(
                catalogue, root, tmp_path / "batch", executor=client, cache=tmp_path / "cache", progress=False
            )
            assert len(built.plan.batch) == COUNT
            sandbox.forget_requests()
            thread = killing_one(client)
            log = upload(built.folder, None, sandbox.settings, executor=client, progress=False, runs=tmp_path / "runs")
            thread.join()
        assert log["outcome"].isin(["uploaded", "copied"]).all()
        run = submit(built.folder, sandbox.settings, runs=tmp_path / "runs", progress=False).follow(progress=False)
        assert (str(run.state), run.counts["imported"]) == ("success", COUNT)
        written = Counter(
            request.key for request in sandbox.requests if request.operation in ("PutObject", "CopyObject")
        )
        assert len(written) == COUNT + 1
        assert max(written.values()) == 1
