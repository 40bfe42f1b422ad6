"""How `--help` looks: what it is for, examples that can be copied whole, then the options."""

from typing import TYPE_CHECKING, Any

from cyclopts.help.formatters import DefaultFormatter
from rich.markdown import Markdown
from rich.padding import Padding
from rich.text import Text

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions


class HelpPages(DefaultFormatter):
    """The usual panels, with indented blocks of a description printed as they are: never folded or padded.

    A command's examples are an indented block of its docstring (Markdown), so that `--help`, the reference
    page and the man page show the same ones.
    """

    def render_description(self, console: "Console", options: "ConsoleOptions", description: Any) -> None:
        """Prose folds to the width of the terminal; examples keep their lines, for they will be copied."""
        markup = getattr(getattr(description, "primary_renderable", None), "markup", None)
        if markup is None:
            super().render_description(console, options, description)
            return
        for number, (is_example, block) in enumerate(_blocks(markup)):
            if number:
                console.print()
            if is_example:
                console.print(Text(block), soft_wrap=True, highlight=False)
            else:
                console.print(Padding(Markdown(block), 0, expand=False))
        console.print()


def _blocks(markup: str) -> list[tuple[bool, str]]:
    """Paragraphs of a description: whether it is an indented block, and its text (indented by two)."""
    found = []
    for block in markup.strip("\n").split("\n\n"):
        lines = [line.rstrip() for line in block.strip("\n").splitlines()]
        if not any(lines):
            continue
        is_example = all(line.startswith("    ") for line in lines if line)
        text = "\n".join(f"  {line[4:]}" if is_example else line for line in lines)
        found.append((is_example, text))
    return found
