"""The classes a file may name: a layer, noise, place, likelihood or prior that is defined, one's own too.

A class enters by being defined (as a subclass of one of the five). Nothing in a file is executed: a file
holds names and settings, a name is looked up here, and the class checks its settings as it does for any
caller. The names of minibayes itself are reserved.
"""

from . import require

_classes: dict[str, dict[tuple[str, str], type]] = {}  # by kind: {(module, qualified name): class}
_formerly: dict[tuple[str, str], type] = {}  # (kind, name in older files): class


class Registered:
    """A class whose subclasses are known by name.

    `kind` says what they are; a kind's root class declares it, kind="layer".
    """

    kind = None
    newer_fields = ()  # settings that files of an earlier version do not name: their defaults hold

    def __init_subclass__(cls, kind=None, formerly=None, **rest):
        super().__init_subclass__(**rest)
        if kind is not None:
            cls.kind = kind
            _classes.setdefault(kind, {})
            return
        # A cell that is run again replaces what it defined.
        _classes[cls.kind][cls.__module__, cls.__qualname__] = cls
        if formerly is not None:
            _formerly[cls.kind, formerly] = cls


def known(kind: str) -> list[str]:
    """The names of all classes of a kind, in the order of their definition."""
    return list(dict.fromkeys(cls.__name__ for cls in _classes[kind].values()))


def find(kind: str, name: str) -> type:
    """The class of that kind and name; a ValueError that names it if there is none, or more than one."""
    found = [cls for cls in _classes[kind].values() if cls.__name__ == name]
    own = [cls for cls in found if _of_minibayes(cls)]
    if own:
        return own[0]
    if not found and (kind, name) in _formerly:
        return _formerly[kind, name]
    if not found:
        raise ValueError(f"unknown {kind} {name!r}: if it is a class of your own, define or import it before "
                         f"loading; known here: {', '.join(known(kind))}")
    if len(found) > 1:
        places = ", ".join(f"{cls.__module__}.{cls.__qualname__}" for cls in found)
        raise ValueError(f"{kind} {name!r} is defined more than once here: {places}")
    return found[0]


def is_reserved(kind: str, cls: type) -> bool:
    """Whether the class has the name of one of minibayes' own that it is not."""
    own = {other.__name__ for other in _classes[kind].values() if _of_minibayes(other)}
    return not _of_minibayes(cls) and cls.__name__ in own


def kind_of(name: str) -> str:
    """Of which kind the class of that name is; a ValueError if there is none."""
    for kind in _classes:
        if name in known(kind):
            return kind
    raise ValueError(f"unknown class {name!r}: if it is a class of your own, define or import it before "
                     "loading")


def check(name: str, value: object, root: type, wanted: str) -> object:
    """`value` if it is an instance of the kind's root class, else one error that says what is wanted."""
    if not isinstance(value, root):
        said = f"the class {value.__name__}: add its parentheses" if isinstance(value, type) else repr(value)
        raise require.InputError(f"{name} must be {wanted}, got {said}")
    return value


def _of_minibayes(cls):
    return cls.__module__.split(".")[0] == __package__
