"""The Django application that the models of all plugins belong to."""

from django.apps import AppConfig

LABEL = "Server"


class ServerConfig(AppConfig):  # type: ignore[misc]  # Django has no types
    """Without models of its own: plugins bring them."""

    name = "bcfg2.server.database"
    label = LABEL
