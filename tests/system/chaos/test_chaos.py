"""A minute of faults under load; `UPCALL_CHAOS_MINUTES` makes it shorter or longer, `UPCALL_CHAOS_SEED` the same."""

import os
import secrets
from pathlib import Path

import pytest

from tests.system.trial_run import outcome

MINUTES = float(os.environ.get("UPCALL_CHAOS_MINUTES", "1"))
SEED = os.environ.get("UPCALL_CHAOS_SEED") or str(secrets.randbelow(1 << 32))


@pytest.mark.timeout(MINUTES * 120 + 300)
def test_whatever_is_done_to_it_the_platform_keeps_its_promises(tmp_path: Path) -> None:
    code, said = outcome("tests.system.chaos", MINUTES, SEED, 240, tmp_path / "told")
    assert code == 0, said
