"""What is said about configuration files that can be used but should not be left as they are."""

import os
from collections.abc import Iterable, Iterator
from dataclasses import replace
from fnmatch import fnmatchcase

from bcfg2.options.configfile import DEFAULT, ConfigFiles, Setting
from bcfg2.options.option import Option, SectionsOption, WildcardOption
from bcfg2.options.sources import location


def undeclared(files: ConfigFiles, options: Iterable[Option]) -> Iterator[str]:
    """A line for each setting in FILES that none of OPTIONS stands for."""
    known = list(options)
    for section, setting in _settings(files):
        if not any(_stands_for(option, section, setting) for option in known):
            yield f"{location(section, setting)}: no option of the command or of a component that it loads"


def exposed_secrets(files: ConfigFiles, options: Iterable[Option]) -> Iterator[str]:
    """A line for each of FILES that holds a secret although anybody may read it."""
    secrets = [secret for option in options for secret in _secret_part(option)]
    for path in files.paths:
        found = (
            location(section, setting)
            for section, setting in _settings(files)
            if setting.path == path and setting.text and _is_secret(secrets, section, setting)
        )
        first = next(found, None)
        if first and _readable_by_all(path):
            yield f"{first}: every user may read this secret; chmod o-r {path}"


def _secret_part(option: Option) -> Iterator[Option]:
    if isinstance(option, SectionsOption):
        yield replace(option, options=[part for part in option.options if part.secret])
    elif option.secret:
        yield option


def _settings(files: ConfigFiles) -> Iterator[tuple[str, Setting]]:
    for section in (*files.sections(), DEFAULT):
        for setting in files.own(section).values():
            yield section, setting


def _is_secret(secrets: Iterable[Option], section: str, setting: Setting) -> bool:
    return "password" in setting.key.lower() or any(_stands_for(option, section, setting) for option in secrets)


def _stands_for(option: Option, section: str, setting: Setting) -> bool:
    key = setting.key.lower()
    if isinstance(option, SectionsOption):
        return fnmatchcase(section, option.section) and any(part.key.lower() == key for part in option.options)
    if isinstance(option, WildcardOption):
        return option.section == section and fnmatchcase(key, option.key.lower())
    return section in (option.section, DEFAULT) and option.key.lower() == key


def _readable_by_all(path: str) -> bool:
    try:
        return bool(os.stat(path).st_mode & 0o004)
    except OSError:
        return False
