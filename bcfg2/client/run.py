"""One run of the agent, stage by stage."""

from bcfg2.options import Options


def run(options: Options) -> int:
    """Make one run as OPTIONS ask for; the exit status."""
    raise NotImplementedError
