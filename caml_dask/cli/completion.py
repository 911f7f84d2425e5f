"""The command that sets up the completion of a shell."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from caml_dask.cli.options import DONE, LOGS, guarded
from caml_dask.errors import UsageError

SHELLS = ("bash", "zsh", "fish")
PROGRAM = "caml-dask"
_VARIABLE = "_CAML_DASK_COMPLETE"  # as click asks for it, by the name of the program


@click.command()
@click.argument("shell", type=click.Choice(SHELLS))
@LOGS
@guarded
def completion(shell: str) -> int:
    """Print the script by which SHELL completes commands and options of caml-dask.

    \b
    bash: caml-dask completion bash >> ~/.bashrc
    zsh:  caml-dask completion zsh >> ~/.zshrc
    fish: caml-dask completion fish > ~/.config/fish/completions/caml-dask.fish
    """
    made = get_completion_class(shell)
    if made is None:
        raise UsageError(f"click knows no completion of {shell}: use one of {', '.join(SHELLS)}")
    click.echo(made(click.get_current_context().find_root().command, {}, PROGRAM, _VARIABLE).source())
    return DONE
