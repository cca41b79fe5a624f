"""A serverless platform in Python that speaks Apache OpenWhisk's interfaces.

Start at `upcall.app`, which wires the parts together; `docs/DESIGN.md` says how they fit.
"""

__version__ = "0.1.0"
