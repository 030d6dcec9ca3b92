"""The tables of clients."""

from django.db import models

from bcfg2.server.plugin import PluginDatabaseModel


class MetadataClientModel(models.Model, PluginDatabaseModel):  # type: ignore[misc]  # Django has no types
    """A client that exists, and the version that it declared last."""

    hostname = models.CharField(max_length=255, primary_key=True)
    version = models.CharField(max_length=31, null=True)


class MetadataBootstrapModel(models.Model, PluginDatabaseModel):  # type: ignore[misc]
    """A client that has been bootstrapped: it must show its certificate.

    In a table of its own, so that the one above is what older servers know.
    """

    hostname = models.CharField(max_length=255, primary_key=True)
