"""How long connections may take: the coarse timer of the edge. Times are in seconds."""

from uvicorn.server import ServerState

from upcall.controller.edge import EdgeProtocol
from upcall.controller.exchange import Edge
from upcall.model import texts

LAST_REQUESTS = 2.0
"""For the rest of a request that was arriving when the server was told to stop."""
TOO_SLOW = "The server timed out waiting for the client's request."


def sweep(edge: Edge, state: ServerState, now: float) -> None:
    """Look after connections that take too long; to be called at regular intervals, `now` in the loop's time."""
    before, edge.now = edge.now, now
    for connection in list(state.connections):
        if isinstance(connection, EdgeProtocol):
            _check(connection, before)


def _check(connection: EdgeProtocol, before: float) -> None:
    """`since` is up to one sweep too early, so `before` is the time of the last one."""
    edge, transport = connection.edge, connection.transport
    unsent = transport.get_write_buffer_size()
    if unsent != connection.unsent:
        connection.unsent = unsent
        connection.since = edge.now
    waited = before - connection.since
    patience = edge.receive_time
    if connection.draining:
        patience = 0.0 if connection.deaf else min(patience, LAST_REQUESTS)
    if transport.is_closing() or (connection.deaf and connection.idle()):
        if waited > patience:
            transport.abort()
    elif connection.receiving:
        if waited > patience and not connection.flow.read_paused:
            late = (503, texts.STOPPING) if connection.draining else (408, TOO_SLOW)
            connection.give_up(*late)
    elif connection.idle() and waited > edge.idle_time:
        if unsent:
            transport.abort()
        else:
            transport.close()
