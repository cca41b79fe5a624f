"""Actions that answer on the runtime's own connection, which they can find among their descriptors."""

from tests.system.fault import DEVELOPER, PYTHON, RUN_DIED, RUN_LATE, Case, Fault, python

SELF = """
import os, time
def answer(*texts):
    links = {fd: "/proc/self/fd/" + fd for fd in os.listdir("/proc/self/fd")}
    sockets = [int(fd) for fd, link in links.items() if os.path.lexists(link) and os.readlink(link)[:6] == "socket"]
    try:
        for text in texts:
            os.write(max(sockets), text)
        while True:
            os.write(max(sockets), texts[-1])
            time.sleep(0.001)
    except OSError:
        return {}
"""
"""To its own connection, which has the highest number; the last text again and again, until nobody reads it."""

SOCKET = (
    Fault(
        name="a second answer",
        status="success",
        result={"own": 1},
        kept=True,
        trails=True,
        cases={
            PYTHON: Case(
                python("return answer(b'HTTP/1.1 200 OK\\r\\nContent-Length: 9\\r\\n\\r\\n{\"own\":1}')", SELF)
            )
        },
    ),
    Fault(
        name="an answer that is no HTTP",
        says=RUN_DIED,
        logs=DEVELOPER,
        cases={PYTHON: Case(python("return answer(b'hello, who is there?')", SELF))},
    ),
    Fault(
        name="an endless body",
        status="application error",
        says=r"The action produced a response that exceeded the allowed length: \d{8} > 1048576 bytes\. The .*: a+",
        kept=True,
        cases={
            PYTHON: Case(
                python(
                    "return answer(b'HTTP/1.1 200 OK\\r\\nContent-Length: 10000000000\\r\\n\\r\\n', b'a' * 500000)",
                    SELF,
                )
            )
        },
    ),
    Fault(
        name="headers without an end",
        says=RUN_DIED,
        logs=DEVELOPER,
        cases={PYTHON: Case(python("return answer(b'HTTP/1.1 200 OK\\r\\n', b'X-A: b\\r\\n' * 10000)", SELF))},
    ),
    Fault(
        name="a body that never comes to its end",
        late=True,
        says=RUN_LATE,
        logs=DEVELOPER,
        limits={"timeout": 300},
        cases={
            PYTHON: Case(
                python("return answer(b'HTTP/1.1 200 OK\\r\\nContent-Length: 10000000\\r\\n\\r\\n', b' ')", SELF)
            )
        },
    ),
)
