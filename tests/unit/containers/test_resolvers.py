"""Whom to ask for names."""

import os
import socket
from pathlib import Path

import pytest

from upcall.containers.sandbox.resolvers import Resolvers
from upcall.errors import Misconfigured
from upcall.model.resolvers import Address


def test_the_hosts_are_read_from_its_file_at_most_three(tmp_path: Path) -> None:
    file = tmp_path / "resolv.conf"
    file.write_text(
        "# nameserver 192.0.2.7\nsearch lan\nnameserver 127.0.0.53\nnameserver nonsense\nnameserver\n"
        "nameserver ::1\nnameserver fe80::1%no-such\nnameserver 192.0.2.2 # two\nnameserver 192.0.2.3\n"
    )
    assert Resolvers(file=file)() == [
        (socket.AF_INET, ("127.0.0.53", 53)),
        (socket.AF_INET6, ("::1", 53, 0, 0)),
        (socket.AF_INET, ("192.0.2.2", 53)),
    ]


def test_the_file_is_read_again_when_it_has_changed(tmp_path: Path) -> None:
    file = tmp_path / "resolv.conf"
    local = [(socket.AF_INET, ("127.0.0.1", 53))]
    resolvers = Resolvers(file=file)
    assert resolvers() == local  # as the C library has it where nothing is said
    for address in ("192.0.2.1", "192.0.2.2"):
        file.write_text(f"nameserver {address}\n")
        os.utime(file, ns=(0, int(address[-1])))  # the clock of files is coarse
        assert resolvers() == [(socket.AF_INET, (address, 53))]
    file.unlink()
    assert resolvers() == local
    file.write_text("nameserver 192.0.2.2\n")
    assert resolvers() == [(socket.AF_INET, ("192.0.2.2", 53))]


def test_those_of_the_settings_are_used_alone(tmp_path: Path) -> None:
    file = tmp_path / "resolv.conf"
    file.write_text("nameserver 192.0.2.1\n")
    assert Resolvers([Address("192.0.2.9", 5353)], file)() == [(socket.AF_INET, ("192.0.2.9", 5353))]


def test_an_interface_that_is_not_there_is_named_at_the_start() -> None:
    with pytest.raises(Misconfigured, match="The DNS resolver fe80::1%no-such is out of reach"):
        Resolvers([Address("fe80::1%no-such", 53)])
