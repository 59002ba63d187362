"""Check array arguments of any array-API library and values of q; bad input gets a one-line error."""

from typing import Any

import numpy as np
from array_api_compat import array_namespace, device, is_numpy_array

Array = Any  # an array of numpy, torch or another array-API library: they share no base class
Namespace = Any


def float_array(name: str, value: Array) -> tuple[Namespace, Array]:
    """Check that an argument is a float32 or float64 array detached from autograd.

    Args:
        name: The argument's name, for messages.
        value: The argument.

    Returns:
        The array's namespace and the array.

    Raises:
        TypeError: The value is not an array of float32 or float64.
        ValueError: The value is a tensor that requires grad.
    """
    try:
        xp = array_namespace(value)
    except TypeError:
        raise TypeError(
            f"{name} is {shown(value)}, a {type(value).__name__}: pass a numpy, torch or other array-API array"
        ) from None
    if value.dtype not in (xp.float32, xp.float64):
        raise TypeError(f"{name} has dtype {value.dtype}: pass float32 or float64")
    if getattr(value, "requires_grad", False):
        raise ValueError(f"{name} requires grad: pass {name}.detach(), as coefficients are constants of the loss")
    return xp, value


def broadcast_pair(
    name: str, value: Array | float, q: Array | float, *, rows: bool = False
) -> tuple[Namespace, Array, Array]:
    """Bring an argument and q into one library, dtype and device.

    These are the argument's; q's if the argument is a plain number; numpy float64 if both are.

    Args:
        name: The argument's name, for messages.
        value: A plain number or an array.
        q: A plain number or an array.
        rows: Whether each row on the value's last axis has one q, instead of each entry.

    Returns:
        The namespace, the argument and q as arrays, not broadcast yet.

    Raises:
        TypeError: As `float_array`, for the argument or q.
        ValueError: q outside [0, 1] or NaN, or the two do not broadcast.
    """
    if is_number(value):
        xp, like = (_numpy(), np.zeros(())) if is_number(q) else float_array("q", q)
        array = xp.asarray(float(value), dtype=like.dtype, device=device(like))
    else:
        xp, array = float_array(name, value)
    order = q_array(xp, q, array)
    shape = tuple(array.shape[:-1] if rows else array.shape)
    try:
        np.broadcast_shapes(shape, tuple(order.shape))
    except ValueError:
        whose = f"the rows of {name}" if rows else name
        raise ValueError(f"q has shape {tuple(order.shape)}, not broadcastable with {whose}, {shape}") from None
    return xp, array, order


def q_array(xp: Namespace, q: Array | float, like: Array) -> Array:
    """Check q and bring it to the library, dtype and device of another array.

    Args:
        xp: The namespace of `like`.
        q: A number, or an array (of any library) of any shape.
        like: The array whose dtype and device are used.

    Returns:
        q as an array; its shape is unchanged.

    Raises:
        TypeError: q is neither a number nor a float array.
        ValueError: q outside [0, 1] or NaN.
    """
    rule = "q must lie in [0, 1]"
    if is_number(q):
        if not 0 <= q <= 1:
            raise ValueError(f"q is {q}: {rule}")
        return xp.asarray(float(q), dtype=like.dtype, device=device(like))
    own, q = float_array("q", q)
    refuse(own, "q", q, ~((q >= 0) & (q <= 1)), rule)
    return xp.asarray(q if own is xp else to_numpy(q), dtype=like.dtype, device=device(like), copy=True)


def refuse(xp: Namespace, name: str, array: Array, bad: Array, rule: str) -> None:
    """Raise for the first entry that breaks a rule.

    Args:
        xp: The array's namespace.
        name: The argument's name.
        array: The argument.
        bad: Mask of the entries that break the rule, of the array's shape.
        rule: The rule, as the end of the message.

    Raises:
        ValueError: An entry is bad.
    """
    if not bool(xp.any(bad)):
        return
    first = int(xp.argmax(xp.astype(xp.reshape(bad, (-1,)), xp.int64)))
    at = ", ".join(str(int(i)) for i in np.unravel_index(first, tuple(array.shape)))
    where = f"{name}[{at}]" if at else name
    entry = xp.reshape(array, (-1,))[first]
    raise ValueError(f"{where} is {int(entry) if xp.isdtype(array.dtype, 'integral') else float(entry)}: {rule}")


def shown(value: Any) -> str:
    """The value as text for a message: one line of at most 60 characters."""
    return " ".join(repr(value).split())[:60]


def is_number(value: Any) -> bool:
    """Whether the value is a real number of Python or numpy; booleans are not."""
    return isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)


def to_numpy(array: Array) -> np.ndarray:
    """Convert an array of any library and device to numpy."""
    return np.asarray(array) if is_numpy_array(array) else np.from_dlpack(array, device="cpu")


def _numpy() -> Namespace:
    return array_namespace(np.zeros(()))
