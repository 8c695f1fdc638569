"""What a rehearsal found: its tables, and one page of HTML that shows them."""

from simulations.report.page import write

__all__ = ["write"]
