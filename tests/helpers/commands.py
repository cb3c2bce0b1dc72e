"""The error message of a command with bad input."""

import pytest

Capture = pytest.CaptureFixture[str]


def bad(main: object, argv: list[str], capsys: Capture) -> str:
    """The one-line error of a command that must exit with 2."""
    with pytest.raises(SystemExit) as ended:
        main(argv)  # type: ignore[operator]
    assert ended.value.code == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert "Traceback" not in said.err
    return said.err.strip().splitlines()[-1].split("error: ", 1)[1]
