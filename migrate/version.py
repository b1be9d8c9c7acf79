"""The version, in its own module so that the build and `--version` read it without other imports."""

__version__ = "0.1.0"
