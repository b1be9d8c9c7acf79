"""The cost model: seconds of the phases of a migration of some terabytes by some hosts.

Constants that this machine can measure are measured; those of networks and buckets are stated (`Stated`).
"""

from dataclasses import dataclass

GB = 1e9


@dataclass(frozen=True)
class Stated:
    """Inputs that are not measured here: published limits, and assumptions.

    Attributes:
      cores: of a host (assumption).
      host_gb: GB/s of a host in each direction (assumption: 50 of its Gbit/s are usable).
      bucket_gb: GB/s of a bucket, or of a shared file system, for all hosts together (assumption: the default quota for
        the egress of a region, 200 Gbit/s).
      request: seconds of a request (assumption).
      copy: seconds of a copy within the bucket of a file of 2 GB (assumption).
      in_flight: requests of a host that run at once (`migrate.places.copies`).
      reads: reads per second of a bucket at the start (published).
      name_writes: writes per second of one object (published).
      file_gb: GB of a data file (Orbax's default).
      leaves: leaves per terabyte (assumption).
      max_ram_gb: `--max-ram` of a host, of which a transaction gets a quarter, at most 1 GiB.
    """

    cores: int = 32
    host_gb: float = 6.0
    bucket_gb: float = 25.0
    request: float = 0.1
    copy: float = 1.0
    in_flight: int = 64
    reads: float = 5000.0
    name_writes: float = 1.0
    file_gb: float = 2.0
    leaves: int = 20_000
    max_ram_gb: float = 4.0


@dataclass(frozen=True)
class Measured:
    """Constants that this machine measured.

    Attributes:
      plan: seconds per 1,000 leaves to open the checkpoint, plan and print the report.
      link: seconds per 1,000 leaves to link, commit and verify.
      leaf_cpu: CPU seconds per 1,000 streamed leaves beside their bytes.
      turn_stage, turn_verify: CPU seconds per GB of a transpose: staging, and verification.
      tune_stage, tune_verify: those of new chunks.
      run_requests, file_requests: requests of a run that links, and of each data file that is copied.
      leaf_requests: requests of each streamed leaf.
      puts: puts of the manifest for each transaction.
    """

    plan: float
    link: float
    leaf_cpu: float
    turn_stage: float
    turn_verify: float
    tune_stage: float
    tune_verify: float
    run_requests: float
    file_requests: float
    leaf_requests: float
    puts: float


@dataclass(frozen=True)
class Phases:
    """Seconds of the phases; those of `overlapping` run at the same time, so that the longest counts.

    Attributes:
      first: phases that run one after the other.
      overlapping: groups of phases that overlap.
    """

    first: dict
    overlapping: tuple = ()

    @property
    def total(self):
        """Seconds of the whole run."""
        return sum(self.first.values()) + sum(max(group.values()) for group in self.overlapping)

    @property
    def longest(self):
        """The name of the phase that takes longest."""
        phases = {**self.first, **dict(max(group.items(), key=lambda pair: pair[1]) for group in self.overlapping)}
        return max(phases, key=phases.get)


def relink(terabytes, measured, stated):
    """Renames and stacks within a bucket: the index is written, and the server copies the data files."""
    thousands, files = terabytes * stated.leaves / 1000, terabytes * 1000 / stated.file_gb
    requests = measured.run_requests + measured.file_requests * files
    return Phases(
        {
            "plan": measured.plan * thousands,
            "commit": measured.link * thousands,
            "requests": max(requests * stated.request / stated.in_flight, requests / stated.reads),
            "copies": files * stated.copy / stated.in_flight,
        }
    )


def stream(kind, terabytes, hosts, measured, stated):
    """Rewrites every array: `turn` or `tune`.

    One host writes to a bucket; several hosts write below a path that all of them see.
    """
    gigabytes, thousands = terabytes * 1000, terabytes * stated.leaves / 1000
    speed = min(hosts * stated.host_gb, stated.bucket_gb)
    cores = hosts * stated.cores
    stage, verify = (getattr(measured, f"{kind}_{name}") for name in ("stage", "verify"))
    staging = {
        "network": gigabytes / speed,
        "CPU": (gigabytes * stage + thousands * measured.leaf_cpu) / cores,
        "requests": thousands * 1000 * measured.leaf_requests * stated.request / stated.in_flight / hosts,
    }
    if hosts == 1:
        transactions = gigabytes / min(stated.max_ram_gb / 4, (1 << 30) / GB)
        staging["manifest"] = transactions * measured.puts / stated.name_writes
    again = 1 if hosts == 1 else 2  # every worker plans, at the same time
    return Phases(
        {"plan": again * measured.plan * thousands, "commit": measured.link * thousands},
        (staging, {"reading back": gigabytes / speed, "CPU of reading back": gigabytes * verify / cores}),
    )


def measured_of(figures, requests):
    """The measured constants.

    Args:
      figures: the median figure by case and gigabytes, with the parts `growth-bytes` and `growth-leaves`.
      requests: the requests of each unit.
    """
    size, dry = _largest(figures, "leaves-dry")
    renamed, turned = (_largest(figures, f"leaves-{name}")[1] for name in ("rename", "turn"))
    plan = dry.marks["work"] / size
    costs = {}
    for name in ("turn", "tune"):
        total, phases = _per_gigabyte(figures, f"bytes-{name}"), _largest(figures, f"bytes-{name}")[1].marks["phases"]
        share = phases["verify"] / (phases["stage"] + phases["verify"])
        costs |= {f"{name}_stage": total * (1 - share), f"{name}_verify": total * share}
    return Measured(
        plan=plan,
        link=renamed.marks["work"] / size - plan,
        leaf_cpu=(turned.marks["cpu"] - renamed.marks["cpu"]) / size,
        **costs,
        run_requests=requests["linking run"],
        file_requests=requests["copied file"],
        leaf_requests=requests["streamed leaf"],
        puts=requests["manifest puts of a transaction"],
    )


def _largest(figures, key):
    """The size in thousands of leaves, or in gigabytes, and the figure of the largest checkpoint of a case."""
    from tests.benchmarks.growth import leaves_of

    size = max(size for name, size in figures if name == key)
    return leaves_of(size) / 1000 if key.startswith("leaves") else size, figures[key, size]


def _per_gigabyte(figures, key):
    """CPU seconds that another gigabyte takes, between the largest checkpoint and the smallest."""
    points = sorted((size, figure.marks["cpu"]) for (name, size), figure in figures.items() if name == key)
    (small, first), (large, last) = points[0], points[-1]
    return (last - first) / (large - small)
