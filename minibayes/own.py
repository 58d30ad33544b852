"""Own copies: nothing that is handed back depends on what a caller, or a later fit, changes afterwards."""

from collections.abc import Mapping

import numpy as np


class Fixed(dict):
    """A dict that cannot be changed: settings that are given as one, or handed out as one."""

    def _refuse(self, *args, **kwargs):
        raise TypeError("these settings cannot be changed: make a new object with others")

    __setitem__ = __delitem__ = __ior__ = _refuse
    clear = pop = popitem = setdefault = update = _refuse

    def __reduce__(self) -> tuple:
        return type(self), (dict(self),)


def fixed(value: object) -> object:
    """A mapping as a Fixed one, those within it too; anything else as it is."""
    return Fixed({k: fixed(v) for k, v in value.items()}) if isinstance(value, Mapping) else value


def settle(record: object, **values) -> None:
    """The fields of a frozen record, in its __post_init__: what a check returns is what is kept."""
    for name, value in values.items():
        object.__setattr__(record, name, value)


def read_only(array: np.ndarray) -> np.ndarray:
    """The array itself, which can no longer be written into through this name."""
    array.flags.writeable = False
    return array


def copy(array: np.ndarray) -> np.ndarray:
    """A copy that cannot be written into."""
    return read_only(np.array(array, order="C"))


def tree(params: dict) -> dict:
    """{layer: {param: array}} with copies of the arrays that cannot be written into."""
    return {layer: {p: copy(a) for p, a in group.items()} for layer, group in params.items()}


def sealed(record: object) -> None:
    """Every array among the attributes of `record` becomes one that cannot be written into."""
    for value in vars(record).values():
        if isinstance(value, np.ndarray):
            read_only(value)
