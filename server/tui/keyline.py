"""The bottom line: the keys that do something now. One text, so that a key costs no new widgets."""

from textual import events
from textual.binding import Binding
from textual.content import Content
from textual.screen import Screen
from textual.widgets import Static

from server.tui.words import line, muted, toned

ALWAYS = ("search", "command", "help")
"""Actions whose keys stand on the right, as far as there is room."""


class KeyLine(Static):
    """Keys with what they do; a click does the same."""

    shown: Content | None = None
    places: tuple[tuple[int, int, str], ...] = ()

    def on_mount(self) -> None:
        """Follow what can be done."""
        self.screen.bindings_updated_signal.subscribe(self, self._follow)

    def _follow(self, screen: Screen[object]) -> None:  # noqa: ARG002 - the signal's
        self.call_after_refresh(self.tell)

    def on_resize(self) -> None:
        """Fit the new width."""
        self.tell()

    def tell(self) -> None:
        """Show the keys, if they are others than before."""
        if not self.is_attached:
            return
        active = [each.binding for each in self.screen.active_bindings.values() if each.enabled and each.binding.show]
        keys = list({binding.action: binding for binding in active}.values())
        right = [binding for binding in keys if binding.action in ALWAYS]
        left = [binding for binding in keys if binding.action not in ALWAYS]
        drawn = self._fitted(left, right)
        if self.shown is None or not self.shown.is_same(drawn):
            self.shown = drawn
            self.update(drawn)

    def _fitted(self, left: list[Binding], right: list[Binding]) -> Content:
        """The keys on the left, as many as leave room for those on the right."""
        tail = line(*(self._key(binding) for binding in right))
        if tail.cell_length > self.size.width // 2:
            tail = line(*(self._key(binding) for binding in right if binding.action == "help"))
        head: list[Content] = []
        places: list[tuple[int, int, str]] = []
        at = 0
        for binding in left:
            key = self._key(binding)
            if at + key.cell_length + tail.cell_length > self.size.width:
                break
            head.append(key)
            places.append((at, at + key.cell_length, binding.action))
            at += key.cell_length
        start = self.size.width - tail.cell_length
        for binding in right:
            places.append((start, start + self._key(binding).cell_length, binding.action))
            start += self._key(binding).cell_length
        self.places = tuple(places)
        return line(*head, " " * max(0, self.size.width - at - tail.cell_length), tail)

    def _key(self, binding: Binding) -> Content:
        return line(
            toned(f" {self.app.get_key_display(binding)} ", "bold $text-primary"), muted(f"{binding.description} ")
        )

    async def on_click(self, event: events.Click) -> None:
        """Do what the key under the mouse does."""
        for start, end, action in self.places:
            if start <= event.x < end:
                await self.app.run_action(action, self.screen.focused or self.app)
                return
