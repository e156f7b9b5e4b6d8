"""The command ``ctctag``: parses, calls the library, prints."""

from ctctag.cli.main import main

__all__ = ["main"]
