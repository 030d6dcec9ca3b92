"""The tables of all models, made and completed without a question.

What is there is used as it is: tables of older servers keep their columns and their data.  A table or a column that is
missing is added.
"""

import logging
from typing import Any

from bcfg2.server.database.connection import errors

logger = logging.getLogger("bcfg2.database")


def make_tables() -> None:
    """Make what is missing of the tables of all models.

    Servers that do this at the same time do not disturb each other.  Raises
    :exc:`~bcfg2.server.database.DatabaseUnusable`.
    """
    from django.apps import apps

    from bcfg2.server.database.apps import LABEL

    with errors("cannot prepare the tables of the database"):
        for model in apps.get_app_config(LABEL).get_models():
            _complete(model)


def _complete(model: Any) -> None:
    """Make the table of MODEL, or add its columns, as far as they are missing."""
    from django.db import Error, connection

    missing = _missing_columns(model)
    if missing is None:
        try:
            with connection.schema_editor() as editor:
                editor.create_model(model)
            logger.info("Made the table %s", model._meta.db_table)
            return
        except Error:
            missing = _missing_columns(model)
            if missing is None:  # else somebody else has made it just now
                raise
    for field in missing:
        try:
            with connection.schema_editor() as editor:
                editor.add_field(model, field)
            logger.info("Added the column %s to the table %s", field.column, model._meta.db_table)
        except Error:
            if field in (_missing_columns(model) or ()):
                raise


def _missing_columns(model: Any) -> list[Any] | None:
    """The fields of MODEL that its table lacks; None without a table."""
    from django.db import connection

    fold = str.lower if connection.features.ignores_table_name_case else str
    table = model._meta.db_table
    with connection.cursor() as cursor:
        if fold(table) not in map(fold, connection.introspection.table_names(cursor)):
            return None
        columns = {column.name.lower() for column in connection.introspection.get_table_description(cursor, table)}
    return [field for field in model._meta.local_concrete_fields if field.column.lower() not in columns]
