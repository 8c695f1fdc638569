"""A view that shows one task at a time."""

from typing import ClassVar

from textual.binding import Binding, BindingType

from server.tui.view import View
from server.tui.watcher import Snapshot
from shared.tasks import Task


class TaskView(View):
    """The newest run's task, until a person moves on with `t`; the key is offered only where there are several."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("t", "next_task", "Next task")]
    picked: str | None = None

    def task_on_show(self, snapshot: Snapshot) -> Task | None:
        """The task on show."""
        return snapshot.task(self.picked or (snapshot.runs[-1].task if snapshot.runs else None))

    def action_next_task(self) -> None:
        """Move on to the next task, from the last to the first."""
        if self.snapshot and (now := self.task_on_show(self.snapshot)):
            names = [task.name for task in self.snapshot.tasks]
            self.picked = names[(names.index(now.name) + 1) % len(names)]
            self.refill()
            self.app.refresh_bindings()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Offer the next task where there is one."""
        if action == "next_task":
            return bool(self.snapshot and len(self.snapshot.tasks) > 1)
        return super().check_action(action, parameters)
