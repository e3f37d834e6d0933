"""`synapse completion`: the script by which a shell completes commands, options and names."""

from __future__ import annotations

import os

import click
from click.shell_completion import (
    CompletionItem,
    ShellComplete,
    add_completion_class,
    get_completion_class,
    shell_complete,
    split_arg_string,
)

from synapse_sync.cli.console import Console
from synapse_sync.cli.options import common

#: The variable by which the script asks the command, see click's `Shell Completion`.
VARIABLE = "_SYNAPSE_COMPLETE"
SHELLS = ("bash", "zsh", "fish", "powershell")
#: The line for the shell's own start file, and the name of that file.
_LINES = {
    "bash": ('eval "$(synapse completion bash)"', "~/.bashrc"),
    "zsh": ('eval "$(synapse completion zsh)"', "~/.zshrc"),
    "fish": ("synapse completion fish | source", "~/.config/fish/config.fish"),
    "powershell": ("synapse completion powershell | Out-String | Invoke-Expression", "$PROFILE"),
}
_POWERSHELL = """\
Register-ArgumentCompleter -Native -CommandName %(prog_name)s -ScriptBlock {
    param($word, $line, $position)
    $env:%(complete_var)s = "powershell_complete"
    $env:COMP_WORDS = $line.ToString()
    $env:COMP_WORD = $word
    %(prog_name)s | ForEach-Object {
        $value, $help = $_ -split "`t", 2
        if (-not $help) { $help = $value }
        [System.Management.Automation.CompletionResult]::new($value, $value, "ParameterValue", $help)
    }
    Remove-Item Env:\\%(complete_var)s, Env:\\COMP_WORDS, Env:\\COMP_WORD
}
"""


class PowerShellComplete(ShellComplete):
    """Completion for PowerShell, which click lacks. The whole line and the last word arrive as variables."""

    name = "powershell"
    source_template = _POWERSHELL

    def get_completion_args(self) -> tuple[list[str], str]:
        """Return the words before the incomplete one, and that."""
        words = split_arg_string(os.environ.get("COMP_WORDS", ""))
        incomplete = os.environ.get("COMP_WORD", "")
        before = words[1:-1] if incomplete and words[-1:] == [incomplete] else words[1:]
        return before, incomplete

    def format_completion(self, item: CompletionItem) -> str:
        """Return one line: the word, and its help after a tab."""
        return f"{item.value}\t{item.help}" if item.help else str(item.value)


def answer(cli: click.Command, instruction: str) -> int:
    """Print what a shell asks for (`bash_source`, `zsh_complete` …); returns the exit code."""
    add_completion_class(PowerShellComplete)
    return shell_complete(cli, {}, "synapse", VARIABLE, instruction)


@click.command("completion")
@click.argument("shell", type=click.Choice(SHELLS))
@common
@click.pass_obj
def command(console: Console, shell: str) -> int:
    """Print the script by which a shell completes commands, options, and the names in synapse.toml.

    For good, add the line that the script begins with to the shell's own start file.
    """
    add_completion_class(PowerShellComplete)
    kind = get_completion_class(shell)
    assert kind is not None
    root = click.get_current_context().find_root().command
    line, where = _LINES[shell]
    script = f"# In {where}: {line}\n{kind(root, {}, 'synapse', VARIABLE).source()}"
    if console.as_json:
        console.document({"shell": shell, "line": line, "file": where, "script": script})
    console.answer(script)
    return 0
