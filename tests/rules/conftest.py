"""Rule files in an empty current directory."""

import pytest


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Writes rule files, given as lists of lines below `migrate: 1`."""
    monkeypatch.chdir(tmp_path)

    def write(**files):
        for name, lines in files.items():
            (tmp_path / f"{name}.yaml").write_text("migrate: 1\n" + "".join(f"{line}\n" for line in lines))

    return write
