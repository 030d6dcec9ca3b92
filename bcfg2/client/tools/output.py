"""What commands have written, as text."""

from bcfg2.command import Finished


def text_of(done: Finished) -> str:
    """The standard output of DONE."""
    return done.stdout.decode("utf-8", "replace")


def lines_of(done: Finished) -> list[str]:
    """The lines of the standard output of DONE."""
    return text_of(done).splitlines()
