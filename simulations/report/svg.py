"""Elements of SVG and HTML as text: names and values are escaped here and nowhere else."""

from html import escape


def tag(name: str, *children: str, **attributes: object) -> str:
    """One element; `children` are elements already. `class_` is written `class`, other underscores as hyphens."""
    written = "".join(
        f' {_name(key)}="{escape(_value(value))}"' for key, value in attributes.items() if value is not None
    )
    return f"<{name}{written}>{''.join(children)}</{name}>"


def words(text: object) -> str:
    """Text between elements."""
    return escape(str(text), quote=False)


def text(x: float, y: float, what: object, *, anchor: str = "start", class_: str = "label") -> str:
    """Words in a plot."""
    return tag("text", words(what), x=x, y=y, text_anchor=anchor, class_=class_)


def line(x1: float, y1: float, x2: float, y2: float, class_: str) -> str:
    """A straight line."""
    return tag("line", x1=x1, y1=y1, x2=x2, y2=y2, class_=class_)


def box(x: float, y: float, width: float, height: float, class_: str, *, hint: str = "") -> str:
    """A bar; `hint` shows under the pointer."""
    sides = {"x": x, "y": y, "width": max(width, 0.0), "height": max(height, 0.0)}
    return tag("rect", *_hint(hint), **sides, class_=class_)


def dot(x: float, y: float, radius: float, class_: str, *, hint: str = "") -> str:
    """A point; `hint` shows under the pointer."""
    return tag("circle", *_hint(hint), cx=x, cy=y, r=radius, class_=class_)


def path(points: list[tuple[float, float]], class_: str, *, closed: bool = False) -> str:
    """Straight lines from point to point."""
    steps = "L".join(f"{_value(x)} {_value(y)}" for x, y in points)
    return tag("path", d=f"M{steps}{'Z' if closed else ''}", class_=class_) if points else ""


def picture(name: str, title: str, description: str, width: float, height: float, *children: str) -> str:
    """A whole plot, with words for those who do not see it; `name` is unique in the page."""
    return tag(
        "svg",
        tag("title", words(title), id=f"{name}-title"),
        tag("desc", words(description), id=f"{name}-desc"),
        *children,
        viewBox=f"0 0 {width:g} {height:g}", role="img", aria_labelledby=f"{name}-title {name}-desc",
    )  # fmt: skip


def _hint(hint: str) -> tuple[str, ...]:
    return (tag("title", words(hint)),) if hint else ()


def _name(key: str) -> str:
    return key.rstrip("_").replace("_", "-")


def _value(value: object) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)
