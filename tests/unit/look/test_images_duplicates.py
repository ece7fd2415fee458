"""The same picture twice is found; two colours of one shirt are not the same picture."""

import numpy as np
import pandas as pd
import pytest
from images_made import encoded, photo
from PIL import Image

from imgprep.images.storage import list_names
from imgprep.look.duplicates import find_duplicates, near_pairs
from imgprep.look.inspect import inspect_images


def test_copies_are_grouped_and_others_are_not(tmp_path):
    image = photo(1)
    red, blue = (Image.composite(Image.new("RGB", image.size, colour), Image.new("RGB", image.size, "white"),
                 image.convert("L")) for colour in ((150, 40, 40), (40, 40, 150)))  # fmt: skip
    files = {
        "a.jpg": encoded(image, quality=95),
        "copy.jpg": encoded(image, quality=95),
        "small.jpg": encoded(image.resize((160, 120)), quality=70),
        "other.jpg": encoded(photo(2)),
        "red.png": encoded(red, "PNG"),
        "blue.png": encoded(blue, "PNG"),
        "red.bmp": encoded(red, "BMP"),
    }
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    catalogue = pd.DataFrame(
        {"PicName": ["a.jpg", "copy.jpg", "small.jpg", "red.png", "red.bmp"], "ProductId": ["1", "2", "2", "3", "3"]}
    )
    found = find_duplicates(inspect_images(list_names(tmp_path), tmp_path, progress=False), catalogue, root=tmp_path)
    groups = [sorted(group) for _, group in found.groupby("group")["PicName"]]
    assert groups == [["a.jpg", "copy.jpg", "small.jpg"], ["red.bmp", "red.png"]]
    assert found.groupby("group")["kind"].first().tolist() == ["near", "pixels"]
    assert found.groupby("group")["products"].first().tolist() == [2, 1]


def test_equal_pixels_are_proven_or_not_claimed(tmp_path):
    image = photo(1, (640, 560))
    touched = image.copy()
    touched.putpixel((320, 280), (0, 255, 0))  # one pixel, which no reduced picture shows
    (tmp_path / "a.png").write_bytes(encoded(image, "PNG"))
    (tmp_path / "a.bmp").write_bytes(encoded(image, "BMP"))
    (tmp_path / "touched.png").write_bytes(encoded(touched, "PNG"))
    plain, progressive = (encoded(photo(2, (640, 560)), progressive=way) for way in (False, True))
    (tmp_path / "b.jpg").write_bytes(plain)
    (tmp_path / "c.jpg").write_bytes(progressive)
    facts = inspect_images(list_names(tmp_path), tmp_path, progress=False)

    def kinds(names, **options):
        return find_duplicates(facts[facts["PicName"].isin(names)], **options)["kind"].unique().tolist()

    assert kinds(["a.png", "a.bmp"], root=tmp_path) == ["pixels"]
    assert kinds(["a.png", "a.bmp"]) == ["near"]
    assert kinds(["a.png", "touched.png"], root=tmp_path) == ["near"]
    assert kinds(["b.jpg", "c.jpg"], root=tmp_path) == ["pixels"]
    (tmp_path / "a.bmp").unlink()
    assert kinds(["a.png", "a.bmp"], root=tmp_path) == ["near"]


def test_every_near_pair_is_found():
    numbers = np.random.default_rng(1)
    hashes = np.unique(numbers.integers(0, 2**63, 300, dtype=np.uint64))
    bits = numbers.integers(0, 64, (len(hashes), 5))
    flipped = hashes.copy()
    for column in range(5):
        flipped = np.where(
            numbers.random(len(hashes)) < 0.6, flipped ^ (np.uint64(1) << bits[:, column].astype(np.uint64)), flipped
        )
    both = np.unique(np.concatenate([hashes, flipped]))
    distance = np.bitwise_count(both[:, None] ^ both[None, :])
    for radius in (0, 3, 5):
        expected = np.argwhere(np.triu(distance <= radius, 1))
        assert near_pairs(both, radius).tolist() == expected.tolist()


@pytest.mark.parametrize("radius", range(8))
def test_no_pair_of_hashes_within_the_radius_is_missed_and_none_beyond_is_taken(radius):
    numbers = np.random.default_rng(radius)
    near = [
        int(base) ^ sum(1 << int(bit) for bit in numbers.choice(64, numbers.integers(0, 6), replace=False))
        for base in numbers.integers(0, 2**63, 20, dtype=np.uint64)
        for _ in range(12)
    ]
    hashes = np.unique(np.array(near, dtype=np.uint64))
    numbers.shuffle(hashes)
    within = np.bitwise_count(hashes[:, None] ^ hashes[None, :]) <= radius
    expected = np.argwhere(np.triu(within, 1))
    assert radius < 2 or len(expected)
    assert near_pairs(hashes, radius).tolist() == expected.tolist()
