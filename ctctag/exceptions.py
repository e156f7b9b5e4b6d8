"""Errors of the package: one root, so that one ``except`` catches them all."""

__all__ = ["AudioError", "AudioWarning", "CtctagError", "DataError", "ModelError", "ParameterError"]


class CtctagError(Exception):
    """Root of every error that this package raises on purpose."""


class ParameterError(CtctagError, ValueError):
    """An argument has the wrong type, shape, range or value."""


class AudioError(CtctagError):
    """An audio file cannot be read, or holds what cannot be used; the message names the path."""


class DataError(CtctagError):
    """A label file, a folder of events or a data set on disk is malformed; the message names the place."""


class ModelError(CtctagError):
    """A model file is truncated, of another version, or does not fit what it is used for."""


class AudioWarning(UserWarning):
    """Sound is used, but probably is not what was meant; the message names the path, where there is one."""
