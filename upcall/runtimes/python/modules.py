"""Modules that actions commonly need. The zygote has them loaded before it forks. An image is made with them compiled,
by running this file as a module: many a base has none compiled, and each container would compile them anew."""

_COMMON = (
    "asyncio base64 binascii collections contextlib copy dataclasses datetime decimal email.message enum functools "
    "hashlib hmac html http.client inspect io itertools logging math operator pathlib random re runpy secrets ssl "
    "string struct tempfile textwrap threading time traceback typing urllib.parse urllib.request uuid zipfile zlib"
)


def load() -> None:
    """Import all of them."""
    for name in _COMMON.split():
        __import__(name)


if __name__ == "__main__":
    from ..native import program
    from . import image, server

    load()
    print(f"compiled: {image.__name__}, {server.__name__}, {program.__name__} and what they need")  # noqa: T201
