"""The options of the database, and Django's description of the database that they mean."""

from typing import Any

from bcfg2.options import DictOption, MacroOption, Option, Options
from bcfg2.options.common import WEB_CONFIG

OPTIONS: tuple[Option, ...] = (
    WEB_CONFIG,
    Option(
        "database", "engine", default="sqlite3", help="Kind of the database: sqlite3, postgresql, mysql (or MariaDB)"
    ),
    MacroOption(
        "database", "name", default="<repository>/etc/bcfg2.sqlite", help="Name of the database; of SQLite, its file"
    ),
    Option("database", "user", help="User of the database"),
    Option("database", "password", secret=True, help="Password of this user"),
    Option("database", "host", help="Host of the database, or the folder or path of its socket"),
    Option("database", "port", help="Port of the database"),
    Option("database", "schema", default="public", help="Schema that holds the tables; PostgreSQL only"),
    DictOption("database", "options", help="Further options for the database's driver"),
)

#: Names of older versions of Django.
_OLD_ENGINES = {"postgresql_psycopg2": "postgresql", "psycopg2": "postgresql"}

#: Seconds for which a connection to a server is tried, and for which a lock of SQLite's is waited for.
_CONNECT_TIMEOUT, _LOCK_TIMEOUT = 5, 20


def engine_of(options: Options) -> str:
    """The path of the engine's module, from its short name, an older name, or the path itself."""
    name: str = options.database_engine
    short = name.removeprefix("django.db.backends.")
    short = _OLD_ENGINES.get(short, short)
    return short if "." in short else f"django.db.backends.{short}"


def description(options: Options) -> dict[str, Any]:
    """What Django is told about the database."""
    engine = engine_of(options)
    return {
        "ENGINE": engine,
        "NAME": options.database_name,
        "USER": options.database_user or "",
        "PASSWORD": options.database_password or "",
        "HOST": options.database_host or "",
        "PORT": options.database_port or "",
        "OPTIONS": {**_driver_options(engine, options.database_schema), **options.database_options},
    }


def _driver_options(engine: str, schema: str) -> dict[str, Any]:
    """What drivers are told unless ``[database] options`` says something else."""
    kind = engine.rpartition(".")[2]
    if kind == "sqlite3":
        return {"timeout": _LOCK_TIMEOUT}
    if kind == "mysql":
        return {"connect_timeout": _CONNECT_TIMEOUT, "charset": "utf8mb4"}
    if kind == "postgresql":
        quoted = '"' + schema.replace('"', '""') + '"'
        path = "" if schema == "public" else f"-c search_path={_escaped(quoted)}"
        return {"connect_timeout": _CONNECT_TIMEOUT, **({"options": path} if path else {})}
    return {}


def _escaped(text: str) -> str:
    """TEXT as one word of PostgreSQL's option string."""
    return text.replace("\\", "\\\\").replace(" ", "\\ ")
