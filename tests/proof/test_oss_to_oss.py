"""In full: 2,000 images from OSS to OSS, of which 5 % are repaired."""

from imgprep.sandbox.sandbox import Sandbox
from tests.wire.test_oss_source import BUCKET, assert_little_moves


def test_2000_images_move_a_tenth_of_their_bytes(tmp_path):
    with Sandbox(task_seconds=0, buckets=[BUCKET]) as sandbox:
        assert_little_moves(sandbox, tmp_path, 2000)
