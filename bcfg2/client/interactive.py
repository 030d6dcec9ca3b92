"""Questions to the person at the terminal."""

import sys
import termios
from collections.abc import Callable
from contextlib import suppress

from bcfg2.client.errors import FatalError


def ask(question: str, show: Callable[[str], str] = str) -> bool:
    """Whether the answer to QUESTION, which ends with ``(y/N)``, is yes: ``y`` or ``Y``, anything else is no.

    What was typed before the question is not an answer to it.  SHOW gives the question the form in which it is shown.
    :exc:`FatalError` if there is nobody to answer.
    """
    _discard_input()
    sys.stdout.write(show(question))
    sys.stdout.flush()
    answer = sys.stdin.readline()
    if not answer:
        sys.stdout.write("\n")
        raise FatalError("There is nobody to answer (end of input)")
    return answer.strip() in ("y", "Y")


def _discard_input() -> None:
    with suppress(OSError, ValueError, termios.error):  # no terminal, or no input at all
        termios.tcflush(sys.stdin.fileno(), termios.TCIFLUSH)
