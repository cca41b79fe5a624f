"""Some seconds of faults of a Docker engine under load; `UPCALL_CHAOS_DOCKER_MINUTES` makes it longer,
`UPCALL_CHAOS_SEED` the same."""

import os
import secrets
from pathlib import Path

import pytest

from tests.system.engine import required
from tests.system.trial_run import outcome

MINUTES = float(os.environ.get("UPCALL_CHAOS_DOCKER_MINUTES", "0.4"))
SEED = os.environ.get("UPCALL_CHAOS_SEED") or str(secrets.randbelow(1 << 32))


@pytest.mark.timeout(MINUTES * 240 + 600)
def test_whatever_is_done_to_its_engine_the_platform_keeps_its_promises(
    request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    required(request)
    code, said = outcome("tests.system.chaos", MINUTES, SEED, 480, tmp_path / "told", "--driver", "docker")
    assert code == 0, said
