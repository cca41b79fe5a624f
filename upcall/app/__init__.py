"""Wiring: which adapters stand behind the ports, and one process's life from start to exit code.

`process` has what all roles share, `serve`, `invoker` and `controller` what one of them starts and how it ends; `parts`
makes what they are put together from, out of the settings.
"""

from upcall.app.process import run

__all__ = ["run"]
