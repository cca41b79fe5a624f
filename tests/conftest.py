"""What takes longest begins first, so that of several workers none is left with it at the end.

What tests start hears signals, however the tests were started: `nohup` and `&` in a script let all that they start
ignore SIGHUP and SIGINT, and Python leaves it so. A handler is not inherited, so one that does nothing keeps what
whoever started the tests wants of them.
"""

import signal

import pytest

LONGEST = (
    "tests/system/chaos/test_chaos.py",
    "tests/system/fleet/test_fleet.py",
    "tests/kubernetes/",
    "tests/contract/test_containers.py",
    "tests/conformance/test_conformance.py",
    "tests/system/test_drain.py",
    "tests/system/ordinary/test_faults.py",
    "tests/docker/test_cold.py",
    "tests/docker/test_logs_engine.py",
    "tests/system/test_invoker_recovery.py",
    "tests/system/test_kafka_bus.py",
    "tests/system/ordinary/test_driver.py",
    "tests/docker/test_forms.py",
    "tests/docker/test_odd.py",
    "tests/docker/test_upstream.py",
    "tests/system/ordinary/test_outbound.py",
    "tests/system/ordinary/test_other_runtimes.py",
    "tests/system/test_faults_life.py",
    "tests/system/test_controllers.py",
    "tests/docker/test_network.py",
    "tests/docker/test_invoker_image.py",
    "tests/system/ordinary/test_walls.py",
    "tests/docker/test_bad_engine.py",
    "tests/docker/test_images.py",
    "tests/system/test_lifecycle.py",
    "tests/docker/test_conformance.py",
    "tests/docker/test_engine_faults.py",
    "tests/system/test_invoker_process.py",
    "tests/system/test_import.py",
    "tests/docker/test_hostile_images.py",
    "tests/docker/test_logs_entry.py",
    "tests/docker/test_create_away.py",
    "tests/system/test_zookeeper.py",
    "tests/system/test_backpressure.py",
    "tests/couch/test_records.py",
    "tests/system/test_recovery.py",
    "tests/system/chaos/test_docker_chaos.py",
    "tests/system/ordinary/test_python.py",
    "tests/system/test_delivery.py",
    "tests/system/test_serve_kafka.py",
    "tests/conformance/test_harness.py",
    "tests/docker/test_logs.py",
    "tests/docker/test_life.py",
    "tests/docker/test_health.py",
    "tests/contract/test_store.py",
    "tests/contract/test_bus.py",
    "tests/system/test_user_cli.py",
    "tests/system/test_node_runtime.py",
    "tests/system/test_store_shared.py",
    "tests/system/test_python_zip.py",
    "tests/system/test_roles_sqlite.py",
    "tests/docker/test_invoker.py",
    "tests/system/test_invokers.py",
    "tests/docker/test_starts.py",
    "tests/system/test_node_zip.py",
)
"""Files and folders: those of a cluster have theirs together, while others do not wait for them."""

for each in (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
    if signal.getsignal(each) == signal.SIG_IGN:
        signal.signal(each, lambda *_: None)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: _place(item.nodeid.partition("::")[0]))


def _place(file: str) -> int:
    return next((place for place, name in enumerate(LONGEST) if file.startswith(name)), len(LONGEST))
