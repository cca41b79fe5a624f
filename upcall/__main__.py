"""`python -m upcall`: the same as the command `upcall`."""

from upcall.cli.main import main

main()
