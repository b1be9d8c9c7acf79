"""Pruning: linked files that no entry needs are removed."""

from migrate.engine.linking.prune import prune_files


def test_files_that_are_not_needed_and_empty_directories_are_removed(tmp_path):
    sizes = {"source_0/d/needed": 5, "source_0/d/other": 7, "source_0/process/d/other": 11, "source_1/d/needed": 13}
    for name, size in {**sizes, "d/own": 17}.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(bytes(size))
    folders = [tmp_path / "source_0", tmp_path / "source_1"]
    assert 5 + 13 == prune_files(tmp_path, folders, {"source_0/d/needed", "source_1/d/needed"})
    left = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")}
    assert {"d", "d/own", "source_0", "source_0/d", "source_0/d/needed"} <= left
    assert {"source_1", "source_1/d", "source_1/d/needed"} == left - {
        "d", "d/own", "source_0", "source_0/d", "source_0/d/needed"
    }  # fmt: skip


def test_a_folder_without_needed_files_is_removed(tmp_path):
    (tmp_path / "source_0" / "d").mkdir(parents=True)
    (tmp_path / "source_0" / "d" / "file").write_bytes(b"x")
    assert 0 == prune_files(tmp_path, [tmp_path / "source_0"], set())
    assert [] == list(tmp_path.iterdir())
