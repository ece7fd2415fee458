"""Mistyped commands and options end with a suggestion and exit code 2."""

import pytest

from imgprep.cli.main import main


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["chek"], "unknown choice 'chek'; did you mean check?"),
        (["check", "--imgs", "photos"], "did you mean --images for --imgs?"),
        (["check", "--imgs=photos"], "did you mean --images for --imgs?"),
        (["build", "--ot", "batch"], "required: --out; did you mean --out for --ot?"),
        (["check", "--format", "jsn"], "argument --format: unknown choice 'jsn'; did you mean json?"),
        (["check", "--service", "furnitur"], "did you mean furniture?"),
        ([], "`imgprep --help` lists them"),
    ],
)
def test_the_message_suggests_what_was_meant(words, message, capsys):
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("words", [["frobnicate"], ["check", "--zzz"], ["check", "-x"]])
def test_no_suggestion_where_no_name_is_close(words, capsys):
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 2
    message = capsys.readouterr().err
    assert words[-1] in message and "did you mean" not in message


def test_options_can_be_abbreviated(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "export.csv").write_text("sku,image\n1,a.jpg\n", encoding="utf-8")
    assert main(["check", "export.csv", "--summ"]) == 1
    assert "1 row checked" in capsys.readouterr().out
