"""A command or an option that was mistyped is answered with what was meant, and exit code 2."""

import pytest

from imgprep.cli.main import main


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["chek"], "there is no 'chek'; did you mean check?"),
        (["check", "--imgs", "photos"], "did you mean --images for --imgs?"),
        (["check", "--imgs=photos"], "did you mean --images for --imgs?"),
        (["build", "--ot", "batch"], "required: --out; did you mean --out for --ot?"),
        (["check", "--format", "jsn"], "argument --format: there is no 'jsn'; did you mean json?"),
        (["check", "--service", "furnitur"], "did you mean furniture?"),
        ([], "`imgprep --help` lists them"),
    ],
)
def test_what_was_meant_is_told(words, told, capsys):
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 2
    assert told in capsys.readouterr().err


@pytest.mark.parametrize("words", [["frobnicate"], ["check", "--zzz"], ["check", "-x"]])
def test_nothing_is_guessed_where_nothing_is_near(words, capsys):
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert words[-1] in said and "did you mean" not in said


def test_an_option_may_still_be_shortened(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "export.csv").write_text("sku,image\n1,a.jpg\n", encoding="utf-8")
    assert main(["check", "export.csv", "--summ"]) == 1
    assert "rows looked at" in capsys.readouterr().out
