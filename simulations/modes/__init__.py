"""Privacy modes side by side: the same rows under no noise, local, distributed and central noise, at equal epsilon.

Record level is compared on flight stations, through the server and client that ship. Device level is compared on
aircraft, of which there are thousands, with the functions that ship and no network in between.
"""
