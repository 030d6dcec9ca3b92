"""What the core has to do with the database layer (Django), which is loaded only where a plugin uses it."""

import functools
import sys
from collections.abc import Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


def close_db_connection(func: Callable[P, R]) -> Callable[P, R]:
    """Decorate a method that may use the database: this thread's connections are closed at its end."""

    @functools.wraps(func)
    def closing(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return func(*args, **kwargs)
        finally:
            django = sys.modules.get("django.db")
            if django is not None:
                django.connections.close_all()

    return closing
