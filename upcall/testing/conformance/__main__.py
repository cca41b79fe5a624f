"""`python -m upcall.testing.conformance`: all checks against one Invoker, as a table.

Exit codes: 0 all that could be looked at passed; 1 a check failed; 2 nothing could be looked at.
"""

import sys

from upcall.extras import missing

try:
    from upcall.testing.conformance.command import command
except ModuleNotFoundError as error:
    if error.name != "confluent_kafka":
        raise
    sys.exit(str(missing("this harness", "confluent-kafka")))

if __name__ == "__main__":
    command()
