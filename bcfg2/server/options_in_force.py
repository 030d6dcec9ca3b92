"""Options of a core: declared as a list by its class, read as values from its instances.

The values change when the configuration file does.  They are versioned, so a request that has begun goes on with those
that were in force then.
"""

from typing import Any

from bcfg2.options import Options
from bcfg2.server.versioned import Versioned


class _OptionsInForce(Versioned[Options]):
    """The attribute `options`: of a class what it declares, of an instance what is in force."""

    __slots__ = ("_declared",)

    def __init__(self, declared: list[Any]) -> None:
        super().__init__()
        self._declared = declared

    def __get__(self, obj: object | None, owner: type) -> Any:
        return self._declared if obj is None else Versioned.__get__(self, obj, owner)


class HasOptions:
    """Mix-in for classes that declare a list `options`, and whose instances are given the values under that name."""

    options: Any

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        declared = cls.__dict__.get("options")
        if isinstance(declared, list):
            attribute = _OptionsInForce(declared)
            attribute.__set_name__(cls, "options")
            cls.options = attribute
