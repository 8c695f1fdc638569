"""`covey-sim sweep`: a grid of plans, each rehearsed, and which of them no other beats."""
