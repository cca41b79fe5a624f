"""A minute and a quarter of faults in a fleet; `UPCALL_FLEET_MINUTES` makes it shorter or longer, `UPCALL_FLEET_SEED`
the same."""

import os
import secrets
from pathlib import Path

import pytest

from tests.system.trial_run import outcome

MINUTES = float(os.environ.get("UPCALL_FLEET_MINUTES", "1.25"))
SEED = os.environ.get("UPCALL_FLEET_SEED") or str(secrets.randbelow(1 << 32))


@pytest.mark.timeout(MINUTES * 120 + 600)
def test_whatever_is_done_to_it_each_activation_has_one_outcome(tmp_path: Path) -> None:
    code, said = outcome("tests.system.fleet", MINUTES, SEED, 540, tmp_path / "told")
    assert code == 0, said
