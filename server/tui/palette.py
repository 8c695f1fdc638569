"""The command palette: every view, act and colour by name, found by a few of its letters."""

from collections.abc import Callable, Iterator
from functools import partial

from textual.command import DiscoveryHit, Hit, Hits, Provider
from textual.content import Content

from server.tui.app import CoveyApp


class Everything(Provider):
    """All that can be said after `:`, and all that a key does now."""

    async def discover(self) -> Hits:
        """List everything."""
        for name, means, act in self._entries():
            yield DiscoveryHit(Content(name), act, text=name, help=means)

    async def search(self, query: str) -> Hits:
        """Find what has these letters in this order."""
        matcher = self.matcher(query)
        for name, means, act in self._entries():
            if (score := max(matcher.match(name), 0.8 * matcher.match(means))) > 0:
                yield Hit(score, matcher.highlight(name), act, help=means)

    def _entries(self) -> Iterator[tuple[str, str, Callable[[], object]]]:
        app = self.app
        if not isinstance(app, CoveyApp):
            return
        for word in app.words():
            if not word.takes or word.takes.startswith("["):
                yield word.name, word.means, partial(app.say, word.name)
            elif word.name != "theme":
                yield str(word), word.means, partial(app.open_command, f"{word.name} ")
        for theme in sorted(app.available_themes):
            yield f"theme {theme}", "change the colours", partial(app.say, f"theme {theme}")
        for each in self.screen.active_bindings.values():
            binding = each.binding
            if binding.description and each.enabled and binding.show:
                yield (
                    binding.description,
                    f"key {app.get_key_display(binding)}",
                    partial(app.run_action, binding.action, each.node),
                )
