"""Titles of frames that cost nothing while they stay as they are: Textual draws a whole widget for each one it is told."""

from typing import Any

from textual.content import Content
from textual.widget import Widget


class SteadyTitle:
    """A frame's title or subtitle; the widget is drawn again only when it is another."""

    def __set_name__(self, owner: type[Widget], name: str) -> None:
        """Stand before the widget's own."""
        self._own: Any = vars(Widget)[name]
        self._given = f"_given_{name}"

    def __get__(self, widget: Widget | None, owner: type[Widget]) -> str | None:
        """The title as markup."""
        return self._own.__get__(widget, owner)

    def __set__(self, widget: Widget, title: str | Content | None) -> None:
        """Put a title, if it is another."""
        look = title.markup if isinstance(title, Content) else title
        if getattr(widget, self._given, self) != look:
            setattr(widget, self._given, look)
            self._own.__set__(widget, title)
