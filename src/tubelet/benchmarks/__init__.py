"""How fast, and beside whom: the tables of docs/benchmarks.md, to be run anywhere by `tubelet bench`.

Programs that are compared take turns in one process, after a check that they compute the same. Other libraries are
compared where they are installed.
"""
