"""The error tree: what can go wrong, whose fault it is, and which HTTP status it becomes.

    UpcallError
    ├── Rejected                 the caller asked for something it cannot have     (user)
    │   ├── BadRequest      400
    │   │   └── Malformed   400  what cannot be read, and so never reaches what it asks for
    │   ├── Unauthorized    401
    │   ├── Forbidden       403
    │   ├── NotFound        404
    │   ├── Conflict        409
    │   ├── TooLarge        413
    │   ├── UnsupportedType 415
    │   ├── Unprocessable   422
    │   └── Throttled       429
    ├── Failed                   the platform could not do its part                (platform)
    │   ├── Internal        500
    │   ├── Unreadable      500  a stored document cannot be decoded
    │   └── Unavailable     503
    ├── StartFailed              a container did not come up; `fault` says whose
    ├── Misconfigured            settings or host do not allow to start            (operator)
    │   └── Away                 what they name does not answer, or not yet
    └── InvalidTransition        an event that does not fit the state: a bug here  (platform)

Raised in the middle, translated once at each edge: the HTTP middleware, the ack writer, the command line.
A failed activation is not here: it is data (`upcall.model.activation.Response`).
"""

from typing import ClassVar, Literal

Fault = Literal["user", "developer", "platform", "operator"]


class UpcallError(Exception):
    """Anything this platform raises on purpose; `str()` of it is what the caller may read."""

    fault: ClassVar[Fault] = "platform"
    status: ClassVar[int] = 500


class Rejected(UpcallError):
    """The request is refused; an empty text means the default text of the status (spec: rest-api.md §1.2)."""

    fault = "user"
    status = 400


class BadRequest(Rejected):
    status = 400


class Malformed(BadRequest):
    """A name, a query or a body that cannot be read; upstream refuses it before a route has it."""


class Unauthorized(Rejected):
    status = 401


class Forbidden(Rejected):
    status = 403


class NotFound(Rejected):
    status = 404


class Conflict(Rejected):
    status = 409


class TooLarge(Rejected):
    status = 413


class UnsupportedType(Rejected):
    status = 415


class Unprocessable(Rejected):
    status = 422


class Throttled(Rejected):
    """429; `retry_after` is in seconds, `metric` the name that user events have for it."""

    status = 429

    def __init__(self, text: str, retry_after: int = 1, metric: str = "") -> None:
        super().__init__(text)
        self.retry_after = retry_after
        self.metric = metric


class Failed(UpcallError):
    """The platform's own failure."""


class Internal(Failed):
    status = 500


class Unreadable(Failed):
    """A stored document that cannot be decoded or is of another type than its id says."""

    status = 500


class Unavailable(Failed):
    """503; `retry_after` is in seconds."""

    status = 503

    def __init__(self, text: str = "", retry_after: int = 1) -> None:
        super().__init__(text)
        self.retry_after = retry_after


class StartFailed(UpcallError):
    """A container did not come up. `developer` is true where the action or its image is to blame (status 2); `excused`
    where a tenant's image is, but upstream's answer blames the platform (status 3): that is no failure of this Invoker.
    """

    def __init__(self, text: str, developer: bool = False, excused: bool = False) -> None:
        super().__init__(text)
        self.developer = developer
        self.excused = excused


class Misconfigured(UpcallError):
    """The settings or the host do not allow to start; the text names the cause and the way out."""

    fault = "operator"


class Away(Misconfigured):
    """A server that is needed does not answer; it may still be starting. `why` is the cause alone."""

    def __init__(self, text: str, why: str) -> None:
        super().__init__(text)
        self.why = why


class InvalidTransition(UpcallError):
    """A state machine got an event that its state does not allow; the text holds the object's story."""
