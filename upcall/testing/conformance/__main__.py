"""`python -m upcall.testing.conformance`: all checks against one Invoker, as a table.

Exit codes: 0 all that could be looked at passed; 1 a check failed; 2 nothing could be looked at.
"""

from upcall.testing.conformance.command import command

if __name__ == "__main__":
    command()
