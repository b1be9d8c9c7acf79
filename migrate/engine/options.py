"""The options of one run: one value, shared by the Python functions, the command line and the engine."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import Literal

from migrate.checkpoint import StrPath

VerifyMode = Literal["full", "decode", "digest", "none"]

DEFAULT_RAM = 2 << 30
"""The budget of array data in memory, in bytes."""

DEFAULT_SHARD = 5_000_000_000
"""The most bytes of arrays in one file of a folder of Hugging Face."""

MINIMUM_RAM = 64 << 20
"""The smallest budget: below it, buffers of the libraries weigh more than the arrays."""

DEFAULT_TOLERANCE = 1e-5
"""The rounding of float32 when layers compute in another order of operations: absolute, and relative to a value."""


ZSTD_LEVELS = range(-5, 23)
"""The levels of zstd that may be requested; 0 is zstd's own default, 3."""

COMPRESSIONS = f"`zstd:N` with N from {ZSTD_LEVELS[0]} to {ZSTD_LEVELS[-1]}"
"""The compressions beside `none`, for messages."""


def is_compression(text: str) -> bool:
    """Returns whether a text is `zstd:N` with a valid level, or `none`."""
    found = re.fullmatch(r"zstd:(-?[0-9]{1,2})", text)
    return text == "none" or (found is not None and int(found[1]) in ZSTD_LEVELS)


@dataclass(frozen=True, kw_only=True)
class ApplyOptions:
    """The options of `migrate.apply` and `migrate apply`.

    Attributes:
      overwrite: whether an existing DST is replaced, once the new checkpoint is complete and verified.
      verify: `digest` compares what is read back with the digests of what was written, and what is streamed with the
        digests that the source records; `decode` also decodes every linked chunk once, and compares all other leaves of
        the source that the plan uses with these digests; `full` does that, restores every leaf through plain Orbax (a
        single file: through its reader) and compares it with the rules applied to the source again; `none` compares
        nothing.
      allow_code: whether `call` ops and the rule file's probe may run if the file or the module is not below the
        current directory.
      max_ram: bytes of array data in memory at once; at least 64 MiB.
      jobs: number of leaves in work at once; None takes the number of CPUs.
      compression: `zstd:N` or `none` for every array; None keeps each array's own codec.
      max_shard_size: the most bytes of arrays in one file of a folder of Hugging Face (default: 5 GB).
      files_from: the folder whose configuration and tokenizer files such a folder gets (default: SRC, if it has them;
        else the folder that is replaced).
      probe: `module:function` that compares outputs of the old model and the new before DST is published; None takes
        the rule file's probe.
      tolerance: outputs pass if |old − new| ≤ tolerance + rtol · |old| everywhere, as in `numpy.allclose`; None takes
        the value of the rule file's probe, or 1e-5.
      rtol: the relative part of that bound; None as for `tolerance`.
      require_proof: whether unproved leaves are errors.
    """

    overwrite: bool = False
    verify: VerifyMode = "digest"
    allow_code: bool = False
    max_ram: int = DEFAULT_RAM
    jobs: int | None = None
    compression: str | None = None
    max_shard_size: int | None = None
    files_from: StrPath | None = None
    probe: str | None = None
    tolerance: float | None = None
    rtol: float | None = None
    require_proof: bool = False

    @property
    def workers(self) -> int:
        """The number of leaves in work at once."""
        return self.jobs or os.cpu_count() or 1


DEFAULTS = ApplyOptions()
"""The options of a call that names none."""
