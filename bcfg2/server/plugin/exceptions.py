"""What plugins raise, and what it costs: see each class."""

__all__ = [
    "MetadataConsistencyError",
    "MetadataRuntimeError",
    "PluginExecutionError",
    "PluginInitError",
    "SpecificityError",
    "ValidationError",
]


class PluginInitError(Exception):
    """A plugin cannot work: it is left out, the server goes on."""


class PluginExecutionError(Exception):
    """An entry cannot be bound, or a file cannot be used: the entry fails, or the file is refused."""


class MetadataConsistencyError(Exception):
    """A client cannot be told, or its metadata contradicts itself: fault -32500."""


class MetadataRuntimeError(Exception):
    """Metadata cannot be had just now: fault -32500."""


class ValidationError(Exception):
    """A validator refuses the configuration: the request ends in a fault."""


class SpecificityError(Exception):
    """A file name does not follow ``BASE``, ``BASE.G<priority>_<group>`` or ``BASE.H_<host>``: the file is ignored."""
