"""Commands in helps have the names of the run."""

from migrate.codes import UnusedSource
from migrate.report.placeholders import filled


def help_of(text, **names):
    (diagnostic,) = filled([UnusedSource.at("message", help=text)], **names)
    return diagnostic.help


def test_the_names_of_the_run_are_filled_in_and_quoted():
    assert "`migrate diff 'my run' --template m:f` shows SRC" == help_of(
        "`migrate diff SRC --template M:F` shows SRC", src="my run", template="m:f"
    )
    assert "`migrate inspect old`; `migrate diff new --template M:F`" == help_of(
        "`migrate inspect SRC`; `migrate diff DST --template M:F`", src="old", dst="new"
    )


def test_helps_without_commands_stay():
    assert help_of(None, src="old") is None
    assert "set `SRC`" == help_of("set `SRC`", src="old")
