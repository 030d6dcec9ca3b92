"""TLS as the server speaks it, with files that may be renewed while it runs."""

import logging
import os
import ssl
import time

logger = logging.getLogger("bcfg2.SSLServer")

#: Seconds between two looks at the files.
_INTERVAL = 1.0


class ServerError(Exception):
    """The server cannot be started; the text says why."""


def make_context(
    keyfile: str | None, certfile: str | None, ca: str | None, ciphers: str | None = None
) -> ssl.SSLContext:
    """A server's TLS settings; :exc:`ServerError` names the option and the file that cannot be used.

    With a CA, clients are asked for a certificate, which the CA must have signed if one is shown.  CIPHERS is a list in
    OpenSSL's notation, for TLS 1.2; those of TLS 1.3 are always the library's.
    """
    if not certfile or not keyfile:
        raise ServerError("there is no certificate or no key: set certificate and key of [communication]")
    for option, path in (("certificate", certfile), ("key", keyfile), ("ca", ca)):
        if path and not os.access(path, os.R_OK):
            what = "cannot be read" if os.path.exists(path) else "does not exist"
            raise ServerError(f"{path} {what} (option {option} of [communication])")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION
    if ciphers:
        try:
            context.set_ciphers(ciphers)
        except ssl.SSLError as err:
            raise ServerError(
                f"{ciphers!r} selects no ciphers (option ciphers of [communication]): use a list as "
                "`openssl ciphers -v LIST` understands it, for TLS 1.2"
            ) from err
    try:
        context.load_cert_chain(certfile, keyfile, password=_no_passphrase)
    except (OSError, ServerError) as err:
        raise ServerError(f"cannot use the certificate {certfile} with the key {keyfile}: {err}") from err
    if ca:
        try:
            context.load_verify_locations(cafile=ca)
        except OSError as err:
            raise ServerError(f"cannot use {ca} (option ca of [communication]): {err}") from err
        context.verify_mode = ssl.CERT_OPTIONAL
    return context


def _no_passphrase() -> str:
    raise ServerError("the key is protected by a passphrase, which nobody is there to type: remove it")


class RenewableContext:
    """TLS settings that follow their files: see :func:`make_context`.

    Connections that exist are not touched by a renewal; files that cannot be used leave the settings before them in
    force, with an error line.  For one thread, that which accepts connections.
    """

    def __init__(self, keyfile: str | None, certfile: str | None, ca: str | None, ciphers: str | None) -> None:
        self._files = (keyfile, certfile, ca)
        self._ciphers = ciphers
        self._stamps = self._look()
        self._context = make_context(keyfile, certfile, ca, ciphers)
        self._next_look = time.monotonic() + _INTERVAL

    def current(self) -> ssl.SSLContext:
        """The settings for a new connection."""
        now = time.monotonic()
        if now >= self._next_look:
            self._next_look = now + _INTERVAL
            stamps = self._look()
            if stamps != self._stamps:
                self._stamps = stamps
                self._renew()
        return self._context

    def _renew(self) -> None:
        try:
            self._context = make_context(*self._files, self._ciphers)
        except ServerError as err:
            logger.error("Certificate and key have changed but what was read before stays in force: %s", err)
        else:
            logger.info("Certificate and key have been read again, for new connections")

    def _look(self) -> list[tuple[int, int, int, int] | None]:
        """What tells that a file is another one than before."""
        return [_stamp(path) for path in self._files if path]


def _stamp(path: str) -> tuple[int, int, int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns
