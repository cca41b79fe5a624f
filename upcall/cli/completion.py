"""`upcall completion`: the script that makes a shell complete verbs and options."""

import click
from click.shell_completion import get_completion_class


@click.command("completion")
@click.argument("shell", type=click.Choice(("bash", "zsh", "fish")))
@click.pass_context
def command(context: click.Context, shell: str) -> None:
    """Print the script for a shell's completion.

    \b
    source <(upcall completion bash)                                  this shell, and later ones from ~/.bashrc
    source <(upcall completion zsh)                                   the same, ~/.zshrc
    upcall completion fish > ~/.config/fish/completions/upcall.fish
    """
    made = get_completion_class(shell)
    assert made is not None
    click.echo(made(context.find_root().command, {}, "upcall", "_UPCALL_COMPLETE").source())
