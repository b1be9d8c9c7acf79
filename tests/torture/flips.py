"""One changed byte in a checkpoint: `apply` refuses it, or gives what the reference library reads from the same bytes.

A flip counts as *wrong* if the result has other values than the reference library reads from the changed checkpoint, or
if that library refuses it. The values of checkpoints that migrate wrote are also attacked: `verify` has to notice.
"""

from tests.torture import plain
from tests.torture.framework import Attack, Trial

FLIPS = 1400
MASKS = (0x01, 0x04, 0x20, 0x80, 0xFF)
SOURCES = (
    "small", "ocdbt", "ocdbt_zarr3", "small_zarr", "zarr3", "small.msgpack", "small.safetensors", "small.npz",
    "file.npz", "linen_2022_cnn_flax_msgpack", "linen_2022_cnn_orbax_aggregate",
    "linen_2022_cnn_orbax_per_array", "linen_2024_cnn_standard", "nnx_2024_cnn_pure_dict",
)  # fmt: skip
KEEP = {"follow": "off", "rules": []}
WRITTEN = ("relink", "tiles", "safetensors", "msgpack")


def trials(rng, scale):
    """Yields flips over all sources; every fourth one is in a checkpoint that migrate wrote."""
    for number in range(max(2 * len(SOURCES), round(FLIPS * scale))):
        place, mask, weigh = rng.random(), rng.choice(MASKS), rng.random() < 0.5
        if number % 4 == 3:
            yield _written_trial(WRITTEN[number // 4 % len(WRITTEN)], place, mask, weigh)
        else:
            yield _trial(SOURCES[number % len(SOURCES)], place, mask, ("auto", "never")[number % 2], weigh)


def _trial(name, place, mask, link, weigh):
    shown = f"{name}: byte at {place:.6f} ^ {mask:#x}, --link {link}"
    return Trial(shown, lambda arena: attack(arena, name, place, mask, link, weigh))


def _written_trial(name, place, mask, weigh):
    shown = f"{name} as migrate wrote it: byte at {place:.6f} ^ {mask:#x}"
    return Trial(shown, lambda arena: attack_written(arena, name, place, mask, weigh))


def flip(path, place, mask, *, weigh):
    """Changes a byte of a checkpoint; returns the file and the offset.

    Args:
      path: the checkpoint.
      place: the position, from 0 to 1: of all bytes, or of a file and then of its bytes.
      mask: what the byte is changed by.
      weigh: whether large files are hit more often.
    """
    files = [path] if path.is_file() else sorted(f for f in path.rglob("*") if f.is_file() and f.stat().st_size)
    sizes = [file.stat().st_size if weigh else 1 for file in files]
    at = place * sum(sizes)
    number = 0
    while at >= sizes[number]:
        at, number = at - sizes[number], number + 1
    file, size = files[number], sizes[number]
    offset = int(at / size * file.stat().st_size)
    content = bytearray(file.read_bytes())
    content[offset] ^= mask
    mode = file.stat().st_mode
    file.unlink()  # it may be linked with a file of SRC
    file.write_bytes(content)
    file.chmod(mode)
    return f"{file.relative_to(path.parent)} at {offset}"


def attack(arena, name, place, mask, link, weigh):
    """Flips a byte of a source and applies."""
    arena.source(name)
    where = flip(arena.src, place, mask, weigh=weigh)
    arena.changed()
    run = arena.migrate("apply", arena.rules(KEEP), arena.src, arena.dst, "-q", "--link", link, timeout=60)
    if problem := run.problem(0, 1, 2):
        return f"{where}: {problem}"
    if run.code:
        arena.kind = "refused"
        return None
    return _wrong(arena, where, link)


def _wrong(arena, where, link):
    """Compares DST with what the reference libraries read from SRC."""
    found, reference = (arena.call(plain.every_value, path) for path in (arena.dst, arena.src))
    if found.code and reference.code:
        return _undecodable(arena, where, link)
    if found.code:
        return f"wrong, {where}: DST is unreadable: {found.output[-300:]}"
    if reference.code:
        return f"wrong, {where}: the reference library refuses SRC: {reference.output[-300:]}"
    (names, forms), (other_names, other_forms) = found.value, reference.value
    differing = sorted(name for name in names.keys() & other_names.keys() if names[name] != other_names[name])
    if differing or forms != other_forms:
        return f"wrong, {where}: {differing or 'some leaves'} differ from what the reference library reads"
    arena.kind = "equal"
    return None


def _undecodable(arena, where, link):
    """Requires that decoding refuses what was linked or copied without it and no library can decode."""
    arena.kind = "linked or copied without decoding, and refused with `--verify decode`"
    other = arena.dst.with_name("decoded")
    run = arena.migrate("apply", arena.rules(KEEP), arena.src, other, "-q", "--link", link, "--verify", "decode")
    if problem := run.problem(1, 2):
        return f"wrong, {where}: no library decodes it, and `--verify decode` does not refuse it: {problem}"
    return None


def attack_written(arena, name, place, mask, weigh):
    """Flips a byte of a checkpoint that migrate wrote; `verify` refuses it, or no value differs."""
    from tests.torture.scenarios import SCENARIOS, content

    scenario = SCENARIOS[name]
    run = arena.migrate(*scenario.set_up(arena), before=scenario.before())
    if problem := run.problem(0):
        return problem
    if arena.dst.is_dir():  # what was only linked has no digests yet
        stamped = arena.migrate("stamp", arena.dst, "--digests", "-q")
        if problem := stamped.problem(0):
            return f"`stamp`: {problem}"
    wanted = content(arena, arena.dst)
    where = flip(arena.dst, place, mask, weigh=weigh)
    run = arena.migrate("verify", arena.dst, "-q")
    if problem := run.problem(0, 1, 2):
        return f"{where}: {problem}"
    if run.code:
        arena.kind = "refused by `verify`"
        return None
    arena.kind = "equal"
    found = content(arena, arena.dst)
    same = found == wanted if isinstance(found, dict) else False
    return None if same else f"`verify` misses {where}: {found if isinstance(found, str) else 'other values'}"


ATTACK = Attack("flips", "one flipped byte", trials, weight=12)
