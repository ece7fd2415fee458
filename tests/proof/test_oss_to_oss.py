"""In full: 2,000 images from OSS to OSS, of which 5 % are repaired, and a build and an upload that are killed often."""

from imgprep.sandbox.sandbox import Sandbox
from tests.wire.test_oss_source import BUCKET, assert_kills_cost_nothing, assert_little_moves


def test_2000_images_move_a_tenth_of_their_bytes(tmp_path):
    with Sandbox(task_seconds=0, buckets=[BUCKET]) as sandbox:
        assert_little_moves(sandbox, tmp_path, 2000)


def test_a_build_and_an_upload_killed_ten_times_send_nothing_twice(tmp_path):
    with Sandbox(task_seconds=0, buckets=[BUCKET]) as sandbox:
        assert_kills_cost_nothing(sandbox, tmp_path, 150, [1, 7, 9, 8, 10, 20, 30, 1, 2, 15])
