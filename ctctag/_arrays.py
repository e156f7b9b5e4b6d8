"""The one door for arrays from callers: what NumPy would misread silently, or refuse in words of its own.

Masked arrays lose their masks in `numpy.asarray`, tensors of other libraries may raise anything, and rows of
different lengths are a `ValueError` about "inhomogeneous parts". Here each is an array or a `ParameterError`.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from ctctag.exceptions import ParameterError

__all__ = ["as_array", "as_integers"]


def as_array(value: Any, name: str, ragged: str = "pad them, and pass their lengths") -> npt.NDArray[Any]:
    """Return `value` as a NumPy array.

    Parameters
    ----------
    value : array_like
        An array, nested lists, whatever has ``__array__``, or a PyTorch tensor in ordinary memory.
    name : str
        What messages call it.
    ragged : str
        The way out that the message about rows of different lengths offers.

    Returns
    -------
    ndarray
        A view where that is possible.

    Raises
    ------
    ParameterError
        If values are masked, if a tensor requires grad, lies on a device, or has a dtype or layout that NumPy
        lacks, if rows differ in length, or if lists are nested deeper than Python can follow.

    Examples
    --------
    >>> as_array([[1, 2], [3, 4]], "inputs").shape
    (2, 2)
    >>> as_array(np.ma.masked_equal([1, 2], 2), "inputs")
    Traceback (most recent call last):
        ...
    ctctag.exceptions.ParameterError: inputs is a masked array with masked values, and a mask would be ignored
    (pass the number of valid frames as lengths, and the array's .data)
    """
    if type(value) is np.ndarray:
        return value
    if isinstance(value, (list, tuple)):
        try:
            if not _is_plain(value):
                value = [as_array(row, f"{name}[{n}]", ragged) for n, row in enumerate(value)]
        except RecursionError:
            raise ParameterError(
                f"{name} is nested too deeply for an array (a list within itself?)"
            ) from None
    elif np.ma.is_masked(value):
        raise ParameterError(
            f"{name} is a masked array with masked values, and a mask would be ignored (pass the number of "
            "valid frames as lengths, and the array's .data)"
        )
    elif _is_tensor(value):
        value = _from_tensor(value, name)
    try:
        return np.asarray(value)
    except (ValueError, TypeError, RuntimeError, OverflowError) as error:
        if "inhomogeneous" in str(error):
            raise ParameterError(
                f"{name} must be one rectangular array, got rows of different lengths ({ragged})"
            ) from None
        raise ParameterError(f"{name} cannot be read as an array: {error}") from error


def as_integers(value: Any, name: str) -> npt.NDArray[np.int64]:
    """Return `value` as an array of int64; an empty one may have any dtype."""
    array = as_array(value, name)
    if array.size and array.dtype.kind not in "iu":
        raise ParameterError(f"{name} must hold integers, got dtype {array.dtype}")
    if array.dtype.kind == "u" and array.size and (largest := int(array.max())) > np.iinfo(np.int64).max:
        raise ParameterError(
            f"{name} contains {largest}, which is no class and no length (is it -1, cast to {array.dtype}?)"
        )
    return array.astype(np.int64, copy=False)


def _is_plain(rows: Any) -> bool:
    """Tell whether nested lists hold nothing but Python's own numbers."""
    return all(type(row) in (int, float) or (type(row) in (list, tuple) and _is_plain(row)) for row in rows)


def _is_tensor(value: Any) -> bool:
    return type(value).__module__.partition(".")[0] == "torch" and hasattr(value, "detach")


def _from_tensor(tensor: Any, name: str) -> npt.NDArray[Any]:
    if tensor.requires_grad:
        raise ParameterError(
            f"{name} is a PyTorch tensor that requires grad, and no gradient would flow through here "
            f"(pass {name}.detach())"
        )
    if tensor.device.type != "cpu":
        raise ParameterError(f"{name} is a PyTorch tensor on {tensor.device} (pass {name}.cpu())")
    if tensor.is_nested:
        raise ParameterError(
            f"{name} is a nested PyTorch tensor (pass torch.nested.to_padded_tensor({name}, 0.0), and the "
            "lengths)"
        )
    if str(tensor.layout) != "torch.strided":
        raise ParameterError(
            f"{name} is a PyTorch tensor of layout {tensor.layout}, which NumPy lacks "
            f"(pass {name}.to_dense())"
        )
    try:
        return tensor.resolve_conj().resolve_neg().numpy()
    except (TypeError, RuntimeError) as error:  # bfloat16 and the like
        raise ParameterError(
            f"{name} is a PyTorch tensor of {tensor.dtype}, which NumPy cannot hold (pass {name}.float())"
        ) from error
