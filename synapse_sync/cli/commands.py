"""The commands: the group of all verbs, the error boundary, the exit codes."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence
from keyword import iskeyword

import click

from synapse_sync.cli.console import Console
from synapse_sync.cli.options import common
from synapse_sync.cli.texts import plain_text
from synapse_sync.core.nearest import suggestion
from synapse_sync.errors import StorageError, SynapseError
from synapse_sync.version import __version__

#: Every verb with its section of the help and its sentence. Its module is loaded only when the verb is used.
VERBS = {
    "init": ("Describe", "Write a first synapse.toml for this directory"),
    "add": ("Describe", "Add models to synapse.toml and lock them"),
    "import": ("Describe", "Declare the models of a tree, a workflow, an image or a list"),
    "remove": ("Describe", "Remove models from synapse.toml and the lockfile"),
    "lock": ("Make it so", "Pin versions and hashes in synapse.lock"),
    "sync": ("Make it so", "Make the local trees match: download, verify, link, prune"),
    "rollback": ("Make it so", "Return to the committed synapse.lock before this one"),
    "status": ("Look", "Show what sync would do"),
    "verify": ("Look", "Hash every placed file again; --repair mends"),
    "list": ("Look", "List the locked models and where they are"),
    "show": ("Look", "Show everything about one model"),
    "why": ("Look", "Show which model put a file here, or why none did"),
    "tree": ("Look", "Show targets, folders and files as a tree"),
    "unused": ("Look", "List the models that no workflow names, with their sizes"),
    "diff": ("Look", "Show how synapse.lock differs from that of a commit"),
    "gallery": ("Look", "Write one static page of the models, with their previews"),
    "licenses": ("Look", "List the licences of the locked models"),
    "outdated": ("Look", "List newer versions, and which of them an upgrade would take"),
    "export": ("Leave", "Write the locked files for another program"),
    "bundle": ("Leave", "Write project and model files as one archive, for an air gap"),
    "unbundle": ("Leave", "Bring a bundle into the store, and write its project"),
    "push": ("Leave", "Write the locked files into a registry"),
    "detach": ("Leave", "Turn links into files: the trees work without synapse"),
    "search": ("Discover", "Search Civitai and Hugging Face; --add adds a result"),
    "info": ("Discover", "Show what a site offers, or what local files of weights are"),
    "images": ("Discover", "List Civitai's images of a model, a version or a creator"),
    "creators": ("Discover", "List Civitai's creators"),
    "tags": ("Discover", "List Civitai's tags"),
    "trust": ("Keep house", "Agree to what synapse.toml wants outside its project"),
    "login": ("Keep house", "Keep a token for a site or a host"),
    "logout": ("Keep house", "Forget a token that login kept"),
    "whoami": ("Keep house", "Show the accounts of your tokens, and whether their sites accept them"),
    "doctor": ("Keep house", "Check tokens, sites, store, targets and clock, with a mend for each"),
    "store": ("Keep house", "The store and its remotes: size, gc, verify, push, pull, …"),
    "completion": ("Keep house", "Complete commands and names in bash, zsh, fish or PowerShell"),
    "demo": ("Try it", "The whole job against a small hub on this machine"),
}


#: Verbs of other tools, each with the commands that do the same here.
_OTHER_WORDS = {
    "install": ("sync", "add REF"), "download": ("sync",), "fetch": ("sync",), "get": ("add REF",),
    "pull": ("sync",), "apply": ("sync",), "update": ("lock --upgrade",), "upgrade": ("lock --upgrade",),
    "check": ("status", "verify"), "auth": ("login SITE",), "token": ("login SITE",), "signin": ("login SITE",),
    "cache": ("store",), "gc": ("store gc",), "prune": ("sync", "store gc"), "clean": ("store gc",),
    "ls": ("list",), "rm": ("remove NAME",), "uninstall": ("remove NAME",), "delete": ("remove NAME",),
    "adopt": ("import DIR",), "scan": ("import DIR",), "new": ("init",),
    "plan": ("sync --dry-run",), "find": ("search QUERY",), "version": ("--version",), "user": ("whoami",),
    "freeze": ("lock",), "pack": ("bundle OUT",), "archive": ("bundle OUT",), "unpack": ("unbundle FILE",),
}  # fmt: skip


def module_of(verb: str) -> str:
    """Return the module of a verb; for a keyword of Python, such as `import`, that is `import_`."""
    return f"synapse_sync.cli.{verb}_" if iskeyword(verb) else f"synapse_sync.cli.{verb}"


#: Words of the system for missing memory, where Python raises no MemoryError.
_NO_MEMORY = ("can't allocate", "failed to map segment", "annot allocate memory")
#: Python's words in a ValueError when OpenSSL had no memory for a hash, nor for the reason.
_NO_REASON = "no reason supplied"
#: Python's words in a SystemError when it had no memory even for the exception (3.11 after calls, later versions).
_NO_EXCEPTION = ("without exception set", "without setting an exception")


class Misspelt(click.UsageError):
    """An unknown word on the command line, with a next step."""

    def __init__(self, message: str, hint: str, ctx: click.Context) -> None:
        super().__init__(message, ctx)
        self.hint = hint


class Verbs(click.Group):
    """A group whose commands are modules of this package, loaded when needed and listed by section."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return all verbs in the order of the help."""
        return list(VERBS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """Load the module of one verb."""
        if name not in VERBS:
            return None
        command = importlib.import_module(module_of(name)).command
        assert isinstance(command, click.Command)
        command.short_help = VERBS[name][1]  # shells show it when they complete a verb
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find a verb; for an unknown one, raise `Misspelt` with the nearest known verb."""
        if args[:1] == ["help"]:  # `synapse help CMD`, as in many tools
            if args[1:2] == [] or args[1].startswith("-"):
                click.echo(ctx.get_help())
                ctx.exit()
            args = [args[1], "--help", *args[2:]]
        if args and args[0] not in VERBS and not args[0].startswith("-"):
            other = _OTHER_WORDS.get(args[0].casefold())
            hint = suggestion(args[0], VERBS, "`synapse --help` lists the commands") or ""
            if ours := " or ".join(f"`synapse {command}`" for command in other or ()):
                hint = f"here that is {ours}"
            raise Misspelt(f"no such command `{args[0]}`", hint, ctx)
        if args:
            ctx.ensure_object(Console).verb = args[0]
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the verbs by section; no module of a verb is loaded."""
        width = max(len(name) for name in VERBS)
        for section in dict.fromkeys(section for section, _ in VERBS.values()):
            rows = [(name.ljust(width), text) for name, (where, text) in VERBS.items() if where == section]
            with formatter.section(section):
                formatter.write_dl(rows)


@click.group(
    cls=Verbs,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Two files, two commands: write synapse.toml, then `synapse lock` and `synapse sync`.",
)
@click.version_option(__version__, "-V", "--version", prog_name="synapse", message="%(prog)s %(version)s")
@common
def cli() -> None:
    """Model files, declared and locked: the same bytes everywhere."""


def run(arguments: Sequence[str]) -> int:
    """Run one command; returns the exit code and lets no traceback out (unless `--debug` asks for it)."""
    console = Console.for_arguments(arguments)
    if (asked := os.environ.get("_SYNAPSE_COMPLETE")) is not None:
        from synapse_sync.cli.completion import answer

        return answer(cli, asked)
    try:
        result = cli.main(args=list(arguments), prog_name="synapse", standalone_mode=False, obj=console)
        return result if isinstance(result, int) else 0
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except click.ClickException as error:
        console.usage_error(error)
        return error.exit_code
    except (KeyboardInterrupt, click.Abort):
        console.interrupted()
        return 130
    except SynapseError as error:
        console.failure(error)
        return error.exit_code
    except SystemExit as stop:
        # click ends the process when a pipe is broken. synapse's own output cannot be the cause, see `streams.py`.
        return _failed_call(console, stop.__context__)
    except OSError as error:
        return _failed_call(console, error)
    except Exception as error:
        if (known := _of_the_machine(error)) is not None:
            console.failure(known)
            return known.exit_code
        console.unexpected(error)
        return 70
    finally:
        console.close()


def _of_the_machine(error: Exception) -> StorageError | None:
    """Return the error to report for a failure of the machine; None if the failure is a bug of synapse."""
    from synapse_sync.threads import REFUSED, no_memory, no_thread  # only at a failure

    if REFUSED in str(error):  # a thread of a library
        return no_thread()
    words = (*_NO_MEMORY, *_NO_EXCEPTION) if isinstance(error, SystemError) else _NO_MEMORY
    is_unsaid = isinstance(error, ValueError) and str(error) == _NO_REASON
    if is_unsaid or isinstance(error, MemoryError) or any(some in str(error) for some in words):
        return no_memory()
    # Only paths depend on the locale's encoding: files are UTF-8, and the streams have an error handler.
    encoding = sys.getfilesystemencoding()
    if isinstance(error, UnicodeEncodeError) and encoding != "utf-8" and error.encoding == encoding:
        return StorageError(
            f"`{plain_text(error.object)}` cannot be a file name here: the encoding of this locale is {encoding}",
            hint="set `PYTHONUTF8=1`, or use a UTF-8 locale (`LC_ALL=C.UTF-8`), and run it again",
        )
    return None


def _failed_call(console: Console, error: BaseException | None) -> int:
    """Report a failed system call; returns the exit code. None is a broken pipe of which no more is known."""
    where = f"{error.filename}: " if isinstance(error, OSError) and error.filename else ""
    what = getattr(error, "strerror", None) or str(error or "the program at the other end of a pipe has gone")
    console.failure(StorageError(f"{where}{what}"))
    return StorageError.exit_code
