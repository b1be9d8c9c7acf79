import subprocess
import sys

import pytest

from migrate.platforms import unsupported


@pytest.mark.parametrize(("platform", "supported"), [("linux", True), ("darwin", True), ("win32", False)])
def test_linux_and_macos_are_supported(platform: str, supported: bool, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "platform", platform)
    assert supported is (unsupported() is None)


def test_the_first_line_of_a_command_says_that_a_platform_is_not_supported():
    script = "import sys\nfrom migrate.cli.main import main\nsys.platform, sys.argv = 'win32', ['migrate']\nmain()"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert 2 == done.returncode
    assert done.stderr.startswith("Error: migrate does not run on Windows")
