"""``bcfg2-admin xcmd``: any method of a server, called from the command line."""

import base64
import json
import sys
from typing import Any, NoReturn

from bcfg2.options import Argument, BooleanOption, Options
from bcfg2.server.admin import CommandError, RemoteCommand


class Xcmd(RemoteCommand):
    """Call any method of a running server, and print its result unless that is nothing."""

    options = (
        *RemoteCommand.options,
        BooleanOption(flags=("--json",), help="The arguments and the result are JSON; without it, arguments are texts"),
        Argument(dest="method", help="Name of the method, such as get_statistics or Metadata.list_clients"),
        Argument(dest="argument", nargs="*", help="What the method is given; behind -- it may begin with a dash"),
    )

    def run(self, options: Options) -> int:
        arguments = list(options.argument or ())
        if options.json:
            arguments = [_from_json(argument) for argument in arguments]
        result = self.call(options, options.method, *arguments)
        if options.json:
            sys.stdout.write(f"{json.dumps(result, indent=2, ensure_ascii=False, default=_plain)}\n")
        elif result is not None:
            sys.stdout.write(f"{result}\n")
        return 0


def _from_json(text: str) -> Any:
    try:
        return json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError) as err:
        raise CommandError(f"the argument {text:.80} is not JSON: {err}", status=2) from None


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no number")


def _plain(value: Any) -> str:
    """VALUE, of a type that XML-RPC has and JSON has not, as a text; bytes as Base64, which is how they came."""
    return base64.b64encode(value).decode("ascii") if isinstance(value, bytes) else str(value)
