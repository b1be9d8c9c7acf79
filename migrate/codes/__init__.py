"""Every error code, a module per family: M0xx YAML · M1xx rule fields · M2xx matching and coverage · M3xx shapes,
dtypes, hashes · M4xx formats and I/O · M5xx execution and verification · M9xx a bug in migrate.

A code is a class; its docstring is the page that `migrate explain CODE` prints. Standard library only, so that
`explain` answers at once.
"""

from migrate.codes.m0_yaml import M001, M002, M003, M004
from migrate.codes.m1_rules import M101, M102, M103, M104, M105, M106, M107, M108, M109, M110
from migrate.codes.m2_matching import M201, M202, M203, M204, M205, M206, M207, M208, M209, M210, M211, M212, M213
from migrate.codes.m3_shapes import M301, M302, M303, M304, M305, M306, M307, M308, M309
from migrate.codes.m4_formats import M401, M402, M403, M404, M405, M406, M407, M408, M409, M410, M411, M412, M413, M414
from migrate.codes.m5_execution import (
    M501,
    M502,
    M503,
    M504,
    M505,
    M506,
    M507,
    M508,
    M509,
    M510,
    M511,
    M512,
    M513,
    M514,
)
from migrate.codes.m9_bugs import M901

__all__ = [
    "M001", "M002", "M003", "M004",
    "M101", "M102", "M103", "M104", "M105", "M106", "M107", "M108", "M109", "M110",
    "M201", "M202", "M203", "M204", "M205", "M206", "M207", "M208", "M209", "M210", "M211", "M212", "M213",
    "M301", "M302", "M303", "M304", "M305", "M306", "M307", "M308", "M309",
    "M401", "M402", "M403", "M404", "M405", "M406", "M407", "M408", "M409", "M410", "M411", "M412", "M413",
    "M414",
    "M501", "M502", "M503", "M504", "M505", "M506", "M507", "M508", "M509", "M510", "M511", "M512", "M513",
    "M514",
    "M901",
]  # fmt: skip
