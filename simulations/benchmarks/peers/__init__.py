"""Who is measured on the simulation's workload: this project and its peers, each in one file and a process of its own.

A contender is a function that gets ready and returns another, which does one `Turn` each time it is called.
"""
