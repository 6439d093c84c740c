"""`creditctl`: the commands of operators.

Each command has a parser and a function here, and a module beside this one, which is imported only when it
runs.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from composition.config.load import ConfigurationInvalid
from composition.config.parsers import duration_ms
from composition.config.settings import StoreName
from composition.exit_codes import EXIT_CONFIGURATION, EXIT_FAILED, EXIT_USAGE, failed
from composition.hosting.listening import parse_address
from composition.hosting.serve_options import ServeOptions
from composition.hosting.servers import ServerName, Tls
from composition.wiring.platform import RuntimeName, default_runtime
from domain.identity.api_keys import DEFAULT_BOOK

WORKERS_MAX = 256

Run = Callable[[argparse.Namespace], int]


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command. The exit code: 0 good, 1 failed, 2 wrong usage, 78 wrong configuration."""
    parsed = _parser().parse_args(arguments)
    run: Run = parsed.run
    try:
        return run(parsed)
    except ConfigurationInvalid as error:
        print(error.listing(), file=sys.stderr, flush=True)
        return EXIT_CONFIGURATION
    except KeyboardInterrupt:
        return EXIT_FAILED
    except BrokenPipeError:
        # The reader has closed the pipe: Python must not report that again at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_FAILED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="creditctl", description="Runs and administers the credit system.")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    _serving(commands.add_parser("serve", help="start the service"), demo=False)
    _serving(commands.add_parser("demo", help="serve sample data from memory, to try it out"), demo=True)

    doctor = commands.add_parser("doctor", help="check configuration and dependencies")
    doctor.add_argument("--json", action="store_true", help="print JSON")
    doctor.set_defaults(run=_doctor)

    secrets = _group(commands, "secrets", "secret files")
    init = secrets.add_parser("init", help="write every secret file that is missing")
    init.add_argument("--dir", type=Path, help="in place of CREDIT_SECRETS_DIR, which is secrets by default")
    init.set_defaults(run=_secrets_init)

    check = _group(commands, "config", "settings and secrets").add_parser(
        "check", help="say whether the service could start with them, and start nothing"
    )
    check.set_defaults(run=_config_check)

    _keys(_group(commands, "keys", "keys of the secret files"))

    users = _group(commands, "user", "users of the live store")
    create = users.add_parser("create", help="create a user, by default an administrator")
    create.add_argument("--username", required=True)
    create.add_argument("--email", required=True)
    create.add_argument("--role", choices=("admin", "analyst", "user"), default="admin",
                        help="what they may do (default: %(default)s)")  # fmt: skip
    create.add_argument("--password-file", type=Path, help="without it, the password is asked for")
    create.set_defaults(run=_user_create)

    _api_keys(_group(commands, "api-key", "service keys of the live store"))

    _bans(_group(commands, "bans", "bans on the live store"))
    _limits(_group(commands, "limits", "windows and violations on the live store"))

    _ledger(_group(commands, "ledger", "prove, export and import a book of the live store"))

    openapi = commands.add_parser("openapi", help="print the OpenAPI document")
    openapi.set_defaults(run=_openapi)
    asyncapi = commands.add_parser("asyncapi", help="print the AsyncAPI document")
    asyncapi.set_defaults(run=_asyncapi)
    return parser


def _group(
    commands: argparse._SubParsersAction[argparse.ArgumentParser], name: str, help: str
) -> argparse._SubParsersAction[argparse.ArgumentParser]:
    parser = commands.add_parser(name, help=help)
    return parser.add_subparsers(title="commands", required=True, metavar="COMMAND")


def _serving(parser: argparse.ArgumentParser, *, demo: bool) -> None:
    if not demo:
        parser.add_argument("--store", choices=[name.value for name in StoreName], default="live",
                            help="where everything is kept (default: %(default)s)")  # fmt: skip
    parser.add_argument("--runtime", choices=[name.value for name in RuntimeName],
                        help="event loop (default: uvloop where it is installed, else asyncio)")  # fmt: skip
    parser.add_argument("--server", choices=[name.value for name in ServerName], default="hypercorn",
                        help="ASGI server (default: %(default)s)")  # fmt: skip
    parser.add_argument(
        "--bind", default="127.0.0.1:5000", metavar="HOST:PORT", help="(default: %(default)s)"
    )
    parser.add_argument("--tls-cert", type=Path, metavar="PEM")
    parser.add_argument("--tls-key", type=Path, metavar="PEM")
    parser.add_argument(
        "--workers", type=int, default=1, metavar="N", help="processes (default: %(default)s)"
    )
    parser.add_argument("--bootstrap-api-key-file", type=Path, metavar="PATH",
                        help="write a fresh administrator's API key there, once ready")  # fmt: skip
    # For the supervisor, which passes them to its workers.
    parser.add_argument("--worker", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--ready-fd", type=int, help=argparse.SUPPRESS)
    parser.set_defaults(run=lambda parsed: _serve(parser, parsed, demo=demo))


def _keys(keys: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    rotate = keys.add_parser("rotate", help="add a key to a ring and make it the writing one")
    rings = rotate.add_subparsers(title="rings", required=True, metavar="RING")
    jwt = rings.add_parser("jwt", help="the keys that sign tokens")
    jwt.add_argument("--after", type=_duration_ms, default="60s", metavar="DURATION",
                     help="sign with it so much later, when all hosts have it (%(default)s)")  # fmt: skip
    jwt.add_argument("--forget-old", action="store_true",
                     help="drop all others, and every token with them, at once: for a leak")  # fmt: skip
    jwt.add_argument("--out", type=Path, metavar="FILE", help="write the ring there, and leave the secret")
    jwt.set_defaults(run=_keys_rotate_jwt)
    fields = rings.add_parser("encryption", help="the keys of fields in the database")
    fields.add_argument("--after", type=_duration_ms, default="60s", metavar="DURATION",
                        help="write with it so much later, when all hosts have it (%(default)s)")  # fmt: skip
    instead = fields.add_mutually_exclusive_group()
    instead.add_argument("--passphrase-file", type=Path, metavar="FILE",
                         help="stretch the passphrase there, in place of a random key")  # fmt: skip
    instead.add_argument("--retire", metavar="ID",
                         help="add none, and drop this one: what it wrote opens no more")  # fmt: skip
    fields.add_argument("--force", action="store_true",
                        help="retire it though stored values may name it: they open no more")  # fmt: skip
    fields.add_argument("--out", type=Path, metavar="FILE", help="write the ring there, and leave the secret")
    fields.set_defaults(run=_keys_rotate_encryption)
    listed = keys.add_parser("list", help="list the keys of a ring by their ids, oldest first")
    listed.add_subparsers(title="rings", required=True, metavar="RING").add_parser(
        "encryption", help="the keys of fields in the database"
    ).set_defaults(run=_keys_list_encryption)
    status = keys.add_parser("status", help="list the keys of a ring with what is stored under each")
    status.add_subparsers(title="rings", required=True, metavar="RING").add_parser(
        "encryption", help="the keys of fields; goes through every encrypted value in MongoDB"
    ).set_defaults(run=_keys_status_encryption)


def _duration_ms(text: str) -> int:
    try:
        return duration_ms(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _api_keys(keys: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    create = keys.add_parser("create", help="create a key and print it, this once")
    create.add_argument("--name", required=True)
    create.add_argument("--scope", action="append", required=True, metavar="SCOPE",
                        help="credits:read, credits:write, …, admin; may be repeated")  # fmt: skip
    create.add_argument("--book", default=DEFAULT_BOOK, help="(default: %(default)s)")
    create.add_argument("--expires-in", type=_duration_ms, metavar="DURATION", help="such as 90d")
    create.add_argument("--require-signature", action="store_true",
                        help="requests have to be signed; prints the secret for it, too")  # fmt: skip
    create.set_defaults(run=_api_key_create)
    listing = keys.add_parser("list", help="list all keys, newest first")
    listing.set_defaults(run=_api_key_list)
    revoke = keys.add_parser("revoke", help="revoke a key")
    revoke.add_argument("id")
    revoke.set_defaults(run=_api_key_revoke)


def _bans(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    listing = commands.add_parser("list", help="list the bans in force, those that end last first")
    listing.add_argument("--json", action="store_true", help="print JSON")
    listing.set_defaults(run=_bans_list)
    add = commands.add_parser("add", help="ban an identifier, in place of a ban in force")
    _identifier(add)
    add.add_argument("--seconds", type=int, metavar="N", help="without it, as long as the level gives")
    add.add_argument("--reason", required=True)
    add.set_defaults(run=_bans_add)
    lift = commands.add_parser("lift", help="lift a ban")
    _identifier(lift)
    lift.set_defaults(run=_bans_lift)


def _limits(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    show = commands.add_parser("show", help="windows, violations and the ban of one identifier")
    _identifier(show)
    show.add_argument("--json", action="store_true", help="print JSON")
    show.set_defaults(run=_limits_show)
    clear = commands.add_parser("clear", help="forget windows and violations; a ban stays")
    _identifier(clear)
    clear.set_defaults(run=_limits_clear)


def _identifier(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("type", choices=("ip", "user", "api_key", "account_name"))
    parser.add_argument(
        "identifier", help="an address (IPv6 stands for its /64), an id, or an account's name"
    )


def _ledger(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    verify = commands.add_parser("verify", help="prove a book; names the first wrong document")
    verify.set_defaults(run=_ledger_verify)
    head = commands.add_parser("head", help="print what --head takes, to be kept elsewhere")
    head.set_defaults(run=_ledger_head)
    export = commands.add_parser("export", help="write a book as JSON lines")
    export.add_argument("--out", default="-", metavar="FILE", help="- is standard output (default)")
    export.set_defaults(run=_ledger_export)
    take = commands.add_parser("import", help="bring an exported book into an empty one, or go on with it")
    take.add_argument("file", metavar="FILE", help="- is standard input")
    take.set_defaults(run=_ledger_import)
    for parser in (verify, head, export, take):
        parser.add_argument("--book", default=DEFAULT_BOOK, help="(default: %(default)s)")
    for parser in (verify, take):
        parser.add_argument(
            "--head", type=_head, metavar="SEQ:DIGEST", help="a head the book is known to have had"
        )
    for parser in (verify, head):
        parser.add_argument("--json", action="store_true", help="print JSON")


def _head(text: str) -> tuple[int, str]:
    match = re.fullmatch(r"(\d{1,18}):([0-9a-f]{64})", text, re.ASCII)
    if match is None:
        raise argparse.ArgumentTypeError(
            "as `ledger head` prints it: a number, a colon, 64 hexadecimal digits"
        )
    return int(match[1]), match[2]


def _serve(parser: argparse.ArgumentParser, parsed: argparse.Namespace, *, demo: bool) -> int:
    from composition.hosting.serve import serve  # noqa: PLC0415

    return serve(_serve_options(parser, parsed, demo=demo), os.environ)


def _serve_options(
    parser: argparse.ArgumentParser, parsed: argparse.Namespace, *, demo: bool
) -> ServeOptions:
    """The options of `serve` or `demo`. Ends the process with exit code 2 when they contradict each other."""
    store = StoreName.MEMORY if demo else StoreName(parsed.store)
    server = ServerName(parsed.server)
    runtime = RuntimeName(parsed.runtime) if parsed.runtime else default_runtime()
    try:
        address = parse_address(parsed.bind)
    except ValueError as error:
        parser.error(f"--bind: {error}")
    if server is not ServerName.HYPERCORN and runtime is RuntimeName.TRIO:
        parser.error(f"--server {server.value} does not run on trio; Hypercorn does")
    if not server.installed:
        parser.error(f"{server.value} is not installed: pip install 'credit-system[{server.value}]'")
    if not runtime.installed:
        parser.error(f"{runtime.value} is not installed")
    if not 1 <= parsed.workers <= WORKERS_MAX:
        parser.error(f"--workers: from 1 to {WORKERS_MAX}")
    if store is StoreName.MEMORY and parsed.workers > 1:
        parser.error("--workers: the memory store lives in one process, so it takes one worker only")
    if (parsed.tls_cert is None) != (parsed.tls_key is None):
        parser.error("--tls-cert and --tls-key go together")
    for file in (parsed.tls_cert, parsed.tls_key):
        if file is not None and not file.is_file():
            parser.error(f"{file} is not a file")
    tls = Tls(parsed.tls_cert, parsed.tls_key) if parsed.tls_cert else None
    if tls is not None:
        try:
            tls.check()
        except OSError as error:
            why = getattr(error, "reason", None) or error.strerror or "no PEM, or a key with a passphrase"
            parser.error(f"nothing can be served with {tls.certificate} and {tls.key}: {why}")
    return ServeOptions(
        store=store,
        runtime=runtime,
        server=server,
        address=address,
        tls=tls,
        workers=parsed.workers,
        bootstrap_api_key_file=parsed.bootstrap_api_key_file,
        demo=demo,
        worker=parsed.worker,
        ready_fd=parsed.ready_fd,
    )


def _secrets_init(parsed: argparse.Namespace) -> int:
    from composition.commands.configuration import init_secrets  # noqa: PLC0415

    return init_secrets(os.environ, directory=parsed.dir)


def _config_check(_: argparse.Namespace) -> int:
    from composition.commands.configuration import check_configuration  # noqa: PLC0415

    return check_configuration(os.environ)


def _keys_rotate_jwt(parsed: argparse.Namespace) -> int:
    from composition.commands.key_rotation import rotate_jwt  # noqa: PLC0415

    return rotate_jwt(os.environ, after_ms=parsed.after, forget_old=parsed.forget_old, out=parsed.out)


def _keys_rotate_encryption(parsed: argparse.Namespace) -> int:
    from composition.commands.key_rotation import retire_encryption_key, rotate_encryption  # noqa: PLC0415

    if parsed.force and parsed.retire is None:
        print("creditctl keys rotate encryption: --force goes with --retire ID", file=sys.stderr)
        return EXIT_USAGE
    if parsed.retire is not None:
        return retire_encryption_key(os.environ, key_id=parsed.retire, force=parsed.force, out=parsed.out)
    return rotate_encryption(
        os.environ, after_ms=parsed.after, passphrase_file=parsed.passphrase_file, out=parsed.out
    )


def _keys_list_encryption(_: argparse.Namespace) -> int:
    from composition.commands.key_rotation import list_encryption_keys  # noqa: PLC0415

    return list_encryption_keys(os.environ)


def _keys_status_encryption(_: argparse.Namespace) -> int:
    from composition.commands.key_rotation import encryption_status  # noqa: PLC0415

    return encryption_status(os.environ)


def _doctor(parsed: argparse.Namespace) -> int:
    from composition.commands.doctor import run  # noqa: PLC0415

    return run(os.environ, as_json=parsed.json)


def _user_create(parsed: argparse.Namespace) -> int:
    from composition.commands.users import create_user, read_password  # noqa: PLC0415

    try:
        password = read_password(parsed.password_file)
    except (OSError, UnicodeDecodeError) as error:
        failed(f"the password cannot be read: {error}")
        return EXIT_USAGE
    return create_user(
        os.environ,
        username=parsed.username,
        email=parsed.email,
        password=password,
        role=parsed.role,
    )


def _api_key_create(parsed: argparse.Namespace) -> int:
    from composition.commands.api_keys import create_api_key  # noqa: PLC0415

    return create_api_key(
        os.environ,
        name=parsed.name,
        scopes=parsed.scope,
        book=parsed.book,
        expires_in_ms=parsed.expires_in,
        require_signature=parsed.require_signature,
    )


def _api_key_list(_: argparse.Namespace) -> int:
    from composition.commands.api_keys import list_api_keys  # noqa: PLC0415

    return list_api_keys(os.environ)


def _api_key_revoke(parsed: argparse.Namespace) -> int:
    from composition.commands.api_keys import revoke_api_key  # noqa: PLC0415

    return revoke_api_key(os.environ, parsed.id)


def _bans_list(parsed: argparse.Namespace) -> int:
    from composition.commands.bans import list_bans  # noqa: PLC0415

    return list_bans(os.environ, as_json=parsed.json)


def _bans_add(parsed: argparse.Namespace) -> int:
    from composition.commands.bans import add_ban  # noqa: PLC0415

    return add_ban(os.environ, parsed.type, parsed.identifier, seconds=parsed.seconds, reason=parsed.reason)


def _bans_lift(parsed: argparse.Namespace) -> int:
    from composition.commands.bans import lift_ban  # noqa: PLC0415

    return lift_ban(os.environ, parsed.type, parsed.identifier)


def _limits_show(parsed: argparse.Namespace) -> int:
    from composition.commands.limits import show_limits  # noqa: PLC0415

    return show_limits(os.environ, parsed.type, parsed.identifier, as_json=parsed.json)


def _limits_clear(parsed: argparse.Namespace) -> int:
    from composition.commands.limits import clear_limits  # noqa: PLC0415

    return clear_limits(os.environ, parsed.type, parsed.identifier)


def _ledger_verify(parsed: argparse.Namespace) -> int:
    from composition.commands.ledger import expected_head, verify_book  # noqa: PLC0415

    return verify_book(os.environ, book=parsed.book, expected=expected_head(parsed.head), as_json=parsed.json)


def _ledger_head(parsed: argparse.Namespace) -> int:
    from composition.commands.ledger import print_head  # noqa: PLC0415

    return print_head(os.environ, book=parsed.book, as_json=parsed.json)


def _ledger_export(parsed: argparse.Namespace) -> int:
    from composition.commands.ledger import export_book  # noqa: PLC0415

    return export_book(os.environ, book=parsed.book, out=parsed.out)


def _ledger_import(parsed: argparse.Namespace) -> int:
    from composition.commands.ledger import expected_head, import_lines  # noqa: PLC0415

    return import_lines(os.environ, book=parsed.book, file=parsed.file, expected=expected_head(parsed.head))


def _openapi(_: argparse.Namespace) -> int:
    from composition.commands.api_documents import print_openapi  # noqa: PLC0415

    return print_openapi()


def _asyncapi(_: argparse.Namespace) -> int:
    from composition.commands.api_documents import print_asyncapi  # noqa: PLC0415

    return print_asyncapi()
