import pytest

from migrate.errors import CheckpointError
from migrate.formats.unread import arrays_in, refuse_unread


def test_stores_and_known_suffixes_could_hold_arrays(tmp_path):
    for name in ("zarr/a/.zarray", "zarr3/zarr.json", "db/manifest.ocdbt", "x.npz", "y/z.msgpack", "m.bin", "t/n.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    names = {path.name for path in arrays_in(tmp_path.iterdir())}
    assert {"zarr", "zarr3", "db", "x.npz", "y"} == names


def test_the_refusal_names_what_is_not_read_and_how_to_see_it(tmp_path):
    (tmp_path / "x.npz").touch()
    refuse_unread(tmp_path, [tmp_path / "absent"])
    with pytest.raises(CheckpointError) as caught:
        refuse_unread(tmp_path, [tmp_path / "x.npz"], "name it")
    (found,) = caught.value.diagnostics
    assert (("x.npz",), f"name it; to see what they hold: `migrate inspect {tmp_path / 'x.npz'}`") == (
        found.paths,
        found.help,
    )
