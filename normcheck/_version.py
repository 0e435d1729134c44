"""The version, for every module to import without the package that they are in."""

__version__ = "0.2.0"
