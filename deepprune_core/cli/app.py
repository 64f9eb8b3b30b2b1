"""The command line itself: `deepprune --help`."""

from __future__ import annotations

from typing import Annotated

import typer

from deepprune_core import __version__
from deepprune_core.cli.ask import ask
from deepprune_core.cli.judge import app as judge
from deepprune_core.cli.prune import prune
from deepprune_core.cli.report import report
from deepprune_core.cli.sample import sample
from deepprune_core.cli.serve import serve

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,  # plain help: examples keep their lines
    pretty_exceptions_show_locals=False,  # a key could be among them
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(ask)
app.command()(prune)
app.command()(sample)
app.add_typer(judge, name="judge")
app.command()(report)
app.command()(serve)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"deepprune {__version__}")
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="print the version")
    ] = False,
) -> None:
    """Fewer tokens for the same vote: prune parallel reasoning traces that will agree.

    `ask` prunes one question on a live server; `serve` puts a server in front of one. `sample`
    collects traces; `prune` replays pruning on a file of them; `judge` trains a judge on them;
    `report` makes a page of what `ask` has saved.
    """
