"""The version, for every module to import without the package that they are in."""

__version__ = "0.1.0"
