"""``bcfg2-admin probes``: what clients have answered to probes, moved to another place, or cleaned up."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING

from bcfg2.log import escaped
from bcfg2.options import Argument, BooleanOption, ComponentOption, Options, find_in
from bcfg2.server import database
from bcfg2.server.admin import CommandError, CoreCommand

if TYPE_CHECKING:
    from bcfg2.server.local_core import LocalCore
    from bcfg2.server.plugins.probes.storage import Storage


class Probes(CoreCommand):
    """Move probe data to another place (migrate SOURCE TARGET), or remove those of unknown clients (prune)."""

    options = (
        *CoreCommand.options,
        # Probes only for its options, see run().
        ComponentOption(
            dest="server_plugins", default=["Metadata", "Probes"], find=find_in("bcfg2.server.plugins"), multiple=True
        ),
        Argument(dest="action", help="migrate or prune"),
        Argument(dest="source", nargs="?", help="Where probe data are now: xml, sqlite or database"),
        Argument(dest="target", nargs="?", help="Where they are to be: xml, sqlite or database"),
        BooleanOption(flags=("--replace",), help="Replace probe data that are in the new place already"),
        BooleanOption(flags=("-n", "--dry-run"), help="Only say whose probe data would be removed"),
    )

    def run(self, options: Options) -> int:
        from bcfg2.server.plugin import Metadata
        from bcfg2.server.plugins.probes.storage import StorageError

        action = {"migrate": _migrate, "prune": _prune}.get(options.action)
        if action is None:
            raise CommandError(f"unknown action {options.action}: use migrate or prune", status=2)
        _check(options)
        try:
            with self.core(options, Metadata) as core:
                action(core, options)
        except (StorageError, database.DatabaseUnusable) as err:
            raise CommandError(str(err)) from None
        return 0


def _check(options: Options) -> None:
    """:exc:`CommandError` if the words behind the action make no sense."""
    from bcfg2.server.plugins.probes import places

    given = [place for place in (options.source, options.target) if place]
    if options.action == "prune":
        if given or options.replace:
            raise CommandError("prune has no option but -n", status=2)
        return
    if options.dry_run:
        raise CommandError("-n is an option of prune", status=2)
    if len(given) != 2 or given[0] == given[1] or not set(given) <= set(places.KINDS):
        raise CommandError(f"migrate needs two different places, of {', '.join(places.KINDS)}", status=2)


def _migrate(core: "LocalCore", options: Options) -> None:
    from bcfg2.server.plugins.probes import places
    from bcfg2.server.plugins.probes.storage import StorageError

    with _alone(options):
        if options.source != "database" and not os.path.exists(places.path(options, options.source)):
            raise StorageError(f"there is no {places.path(options, options.source)}")
        source = _opened(options.source, core)
        records = source.records()
        source.close()
        target = _opened(options.target, core)
        if (held := target.records()) and not options.replace:
            raise StorageError(f"there are probe data of {len(held)} clients in {options.target} already (--replace)")
        target.replace(records)
        target.close()
    sys.stdout.write(f"The probe data of {len(records)} clients are now in {options.target}\n")
    is_told = options.probes_storage == options.target or (
        options.target == places.kind(options) == "database" and options.probes_storage == "auto"
    )
    if not is_told:
        sys.stdout.write(f"Set in bcfg2.conf, section [probes]: storage = {options.target}\n")


def _prune(core: "LocalCore", options: Options) -> None:
    from bcfg2.server.plugins.probes import places

    storage = _opened(places.kind(options), core)
    with nullcontext() if storage.is_shared or options.dry_run else _alone(options):
        unknown = _unknown(core, storage)
        if unknown and not options.dry_run:
            storage.remove(unknown)
    storage.close()
    sys.stdout.write("".join(f"{escaped(host)}\n" for host in unknown))


def _unknown(core: "LocalCore", storage: "Storage") -> list[str]:
    """The names for which STORAGE has a record and which are no clients'."""
    from bcfg2.server.plugin import MetadataRuntimeError

    storage.catch_up()
    hosts = storage.records()
    try:
        core.metadata.update_client_list()  # whoever has answered since is known by now
        known = set(core.metadata.list_clients())
    except MetadataRuntimeError as err:
        raise CommandError(str(err)) from None
    if not known:
        raise CommandError("there is no client at all: nothing is removed")
    return sorted(hosts.keys() - known)


def _opened(kind: str, core: "LocalCore") -> "Storage":
    """The storage of this KIND; StorageError or DatabaseUnusable if there is none to be had."""
    from bcfg2.server.plugins.probes import Probes, places

    if kind == "database":
        database.connect(core.options)
        Probes.import_models()
        database.make_tables()
    return places.opened(kind, core, core.logger)


@contextmanager
def _alone(options: Options) -> Iterator[None]:
    """Let no server use the probe data meanwhile; StorageError if one is doing that."""
    from bcfg2.server.plugins.probes import places

    folder = os.path.join(options.server_repository, "Probes")
    os.makedirs(folder, exist_ok=True)
    use = places.Use(folder)
    use.begin(alone=True)
    try:
        yield
    finally:
        use.end()
