"""The tables of probe data."""

import datetime

from django.db import models

from bcfg2.server.plugin import PluginDatabaseModel


class ProbesDataModel(models.Model, PluginDatabaseModel):  # type: ignore[misc]  # Django has no types
    """What one probe has printed on one client, without its groups; `timestamp`: when that came, or changed, last."""

    hostname = models.CharField(max_length=255, db_index=True)
    probe = models.CharField(max_length=255)
    timestamp = models.DateTimeField(default=datetime.datetime.now)
    data = models.TextField(null=True)


class ProbesGroupsModel(models.Model, PluginDatabaseModel):  # type: ignore[misc]
    """One group that the probes of one client have named; in the order of the keys."""

    hostname = models.CharField(max_length=255, db_index=True)
    group = models.CharField(max_length=255)
