"""Compares what two servers answer to the same client; being fast at something else is not what is asked for."""

import difflib
import re
import xmlrpc.client

from benchmarks.player import call
from benchmarks.repository import Client
from tests.conformance.folding import fold

#: What is known to differ, made equal: the release writes Python's word for a boolean out of bcfg2.conf.
EQUAL = [(re.compile(r"(?<=important=['\"])False(?=['\"])"), "false")]


def configuration(port: int, client: Client) -> list[str]:
    """The configuration of CLIENT, one line for each element, in an order that does not depend on the server."""
    ((document,), _) = xmlrpc.client.loads(call(port, client, "GetConfig"))
    folded: list[str] = fold(document, EQUAL)["xml"]
    return folded


def differences(first: list[str], second: list[str]) -> list[str]:
    """The lines in which two configurations differ; none if they are equal."""
    return [line for line in difflib.unified_diff(first, second, lineterm="", n=0) if line[:3] not in ("---", "+++")]
