"""The stretches of 2013 that the story speaks of."""

from shared.tasks import Window

WINTER = Window(start="2013-01-01", end="2013-03-01")
MARCH = Window(start="2013-03-01", end="2013-04-01")
APRIL = Window(start="2013-04-01", end="2013-05-01")
SPRING = Window(start="2013-03-01", end="2013-06-30")
"""What the second campaign learns; a day short of June, so that midnight may pass while the story runs."""

FIRST_HALF = Window(start="2013-01-01", end="2013-07-01")
SUMMER = Window(start="2013-07-01", end="2013-09-01")
