"""What the agent and the server say to each other, one method per call.

Every call that fails for good is a :exc:`FatalError`, but for the last one, which is made when the work is done.
"""

import logging
import xmlrpc.client
from collections.abc import Iterable
from typing import Any

from bcfg2.client.errors import FatalError
from bcfg2.options import Options
from bcfg2.rpc import Proxy, RPCCertificateError, RPCError
from bcfg2.version import __version__

logger = logging.getLogger("bcfg2.client")


class Conversation:
    """The server that OPTIONS tell of; :exc:`FatalError` if they cannot be used."""

    def __init__(self, options: Options) -> None:
        try:
            self._proxy = Proxy.from_options(options, retry_faults=True)
        except (ValueError, RPCCertificateError) as err:
            raise FatalError(str(err)) from None

    def assert_profile(self, profile: str) -> None:
        """Have the server make PROFILE this client's."""
        self._call(f"assert profile {profile}", "AssertProfile", profile)

    def declare_version(self) -> None:
        """Tell the version of the agent, on which the forms of some entries depend."""
        self._call("declare the version", "DeclareVersion", __version__)

    def probes(self) -> str:
        """The document of the probes that are to be run."""
        return self._text("get probes", "GetProbes")

    def receive_probe_data(self, document: str) -> None:
        """Hand in what the probes wrote."""
        self._call("upload probe data", "RecvProbeData", document)

    def decision_list(self, mode: str) -> Iterable[Any]:
        """The decision list of MODE, ``whitelist`` or ``blacklist``."""
        pairs = self._call(f"get the {mode}", "GetDecisionList", mode)
        if not isinstance(pairs, list):
            raise FatalError(f"Cannot get the {mode}: the server's answer is no list")
        return pairs

    def configuration(self) -> str:
        """The document that says what this machine is to be."""
        return self._text("get the configuration", "GetConfig")

    def receive_statistics(self, document: str) -> bool:
        """Hand in the statistics; whether the server took them."""
        try:
            self._call("upload statistics", "RecvStats", document)
        except FatalError as err:
            logger.error("%s", err)
            return False
        return True

    def _text(self, purpose: str, method: str) -> str:
        answer = self._call(purpose, method)
        if isinstance(answer, bytes):
            answer = answer.decode("utf-8", "replace")
        if not isinstance(answer, str):
            raise FatalError(f"Cannot {purpose}: the server's answer is no text")
        return answer

    def _call(self, purpose: str, method: str, *args: Any) -> Any:
        """The answer to METHOD; PURPOSE completes the sentence "Cannot ..."."""
        try:
            return self._proxy.call(method, *args)
        except xmlrpc.client.Fault as err:
            raise FatalError(f"Cannot {purpose}: the server answers: {err.faultString}") from None
        except (RPCError, ValueError) as err:
            raise FatalError(f"Cannot {purpose}: {err}") from None
