"""Availability: an agent that is asked all the time while releases change, the coordinator goes away and it is killed."""
