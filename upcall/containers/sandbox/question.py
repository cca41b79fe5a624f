"""As much of DNS's messages (RFC 1035) as a forwarder needs: whose answer is it, and which questions go nowhere.

A resolver may trust the host for what it is: changes of zones (UPDATE, NOTIFY) and whole zones (AXFR, IXFR) are
refused, only plain questions go on.
"""

import struct

FORMAT_ERROR, SERVER_FAILURE, NOT_IMPLEMENTED, REFUSED = 1, 2, 4, 5
_HEAD = 12
_RESPONSE, _OPCODE, _RECURSION_DESIRED, _RECURSION_AVAILABLE = 0x8000, 0x7800, 0x0100, 0x0080
_ZONES = (251, 252)


def is_query(message: bytes) -> bool:
    """Whether an answer is due; nothing else gets one, or answers would be answered for ever."""
    return len(message) >= _HEAD and not message[2] & 0x80


def fault(query: bytes) -> int:
    """The code with which a query is refused; 0 where it may be asked."""
    if _flags(query) & _OPCODE:
        return NOT_IMPLEMENTED
    question = _question(query)
    if question is None:
        return FORMAT_ERROR
    return REFUSED if int.from_bytes(question[-4:-2]) in _ZONES else 0


def reply(query: bytes, code: int) -> bytes:
    """An answer without records."""
    question = _question(query) or b""
    flags = _RESPONSE | _RECURSION_AVAILABLE | _flags(query) & (_OPCODE | _RECURSION_DESIRED) | code
    return query[:2] + struct.pack("!5H", flags, int(bool(question)), 0, 0, 0) + question


def answers(message: bytes, query: bytes) -> bool:
    """Whether it is the answer to this query: same id, same question. An error may come without the question."""
    if len(message) < _HEAD or message[:2] != query[:2] or is_query(message):
        return False
    asked, question = _question(query), _question(message)
    if question is None or asked is None:
        return code_of(message) != 0 and message[4:6] == b"\0\0"
    return question[-4:] == asked[-4:] and question.lower() == asked.lower()


def code_of(message: bytes) -> int:
    return message[3] & 0x0F


def _flags(message: bytes) -> int:
    return int.from_bytes(message[2:4])


def _question(message: bytes) -> bytes | None:
    """The one question, name, type and class; None where there is not exactly one."""
    at = _HEAD
    if int.from_bytes(message[4:6]) != 1:
        return None
    while at < len(message) and message[at]:
        if message[at] > 63:
            return None
        at += 1 + message[at]
    end = at + 5
    return message[_HEAD:end] if end <= len(message) else None
