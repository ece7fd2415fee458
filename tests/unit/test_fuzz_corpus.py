"""What fuzzing once found stays found: every kept input holds, and the fuzzer itself runs and keeps what it finds."""

import random

import pytest

from tests.fuzz import __main__ as fuzz
from tests.fuzz.targets import CORPUS, TARGETS, Target, kept


@pytest.mark.parametrize(("name", "file"), [(name, file) for name in TARGETS for file in kept(name)])
def test_what_once_broke_a_reader_no_longer_does(name, file):
    TARGETS[name].holds((CORPUS / name / file).read_bytes())


def test_every_folder_of_the_corpus_belongs_to_a_target():
    assert {folder.name for folder in CORPUS.iterdir()} <= set(TARGETS)


@pytest.mark.parametrize("name", sorted(name for name, target in TARGETS.items() if target.make))
def test_generated_inputs_are_the_same_for_the_same_seed(name):
    make = TARGETS[name].make
    assert [make(random.Random(7)) for _ in range(2)] == [make(random.Random(7))] * 2
    assert make(random.Random(7)) != make(random.Random(8))


def test_what_breaks_a_target_is_kept_and_changes_add_up_over_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def holds(data):
        assert b"x" not in data, "an x"

    monkeypatch.setitem(fuzz.TARGETS, "letters", Target([b"abc,def;ghi"], holds))
    assert fuzz.hunt("letters", 0.01, seed=1) >= 1
    assert b"x" in (tmp_path / "fuzz-found" / "letters-1").read_bytes()
    grown = {file.name for file in (tmp_path / "fuzz-corpus" / "letters").iterdir()}
    assert 0 < len(grown) <= 200
    pool = fuzz.Pool("letters", [b"abc"])
    assert len(pool.inputs) == 1 + len(grown)
