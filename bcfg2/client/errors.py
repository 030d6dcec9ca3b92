"""What ends a run of the agent before its end."""


class FatalError(Exception):
    """The run ends here, with exit status 1: nothing more is changed and nothing is reported.  The text says why."""
