"""What the operator sees of a process, and does to it (`upcall.http.operator`).

Warnings are what was logged since the start: those of the host, as a missing tool, are among the first.
"""
