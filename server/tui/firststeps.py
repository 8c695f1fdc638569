"""What a new federation shows first: the steps to the first device, and which of them is next."""

from textual.content import Content

from server.tui.words import line, lines, muted, strong, toned


def first_steps(*, serving: bool) -> Content:
    """The way to the first device; the coordinator's step is ticked once it runs."""
    steps = (
        ("covey serve", "starts the coordinator, which devices talk to", serving),
        ("covey invite", "prints an invitation, good for one device", False),
        ("covey-agent join INVITATION", "on the device: it asks to take part, and shows up here", False),
        ("a", "here: lets it take part", False),
    )
    following = next(at for at, (_, _, done) in enumerate(steps) if not done)
    return lines(
        strong("No device has joined yet."),
        muted("A device keeps its data and learns from it; what it sends back is noisy. Four steps to the first one:"),
        *(part for at, step in enumerate(steps) for part in ("", *one(at + 1, *step, following=at == following))),
    )


def one(number: int, command: str, effect: str, done: bool, *, following: bool) -> tuple[Content, Content]:
    """One step, with what it does below."""
    mark = toned("✓", "$text-success") if done else toned("▸", "$text-primary") if following else muted("○")
    said = line(mark, muted(f" {number}  "), toned(command, "bold $text-primary") if following else strong(command))
    return said, muted(f"     {effect}" + (" · done" if done else " · next" if following else ""))
