"""Decision lists: which entries the server lets the agent install."""

import fnmatch
import logging
import re
from collections.abc import Iterable
from typing import Any

from bcfg2.xml import Element

logger = logging.getLogger("bcfg2.client")


class Decisions:
    """The list of one MODE, ``whitelist`` or ``blacklist``; PAIRS are shell patterns for the tag and the name.

    A pair that is none is passed over with an error in the log; on a whitelist that lets nothing through.
    """

    def __init__(self, mode: str, pairs: Iterable[Any]) -> None:
        self._listed_may = mode == "whitelist"
        self._patterns = [_pattern(pair) for pair in pairs if _is_pair(pair)]

    def permits(self, entry: Element) -> bool:
        """Whether ENTRY may be installed."""
        tag, name = str(entry.tag), entry.get("name") or ""
        listed = any(tags.match(tag) and names.match(name) for tags, names in self._patterns)
        return listed == self._listed_may


def _is_pair(pair: Any) -> bool:
    if isinstance(pair, list | tuple) and len(pair) == 2 and all(isinstance(word, str) for word in pair):
        return True
    logger.error("%r in the server's decision list is no pair of tag and name; it is passed over", pair)
    return False


def _pattern(pair: Iterable[str]) -> tuple[re.Pattern[str], re.Pattern[str]]:
    tags, names = (re.compile(fnmatch.translate(word)) for word in pair)
    return tags, names
