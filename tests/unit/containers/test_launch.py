"""The outer sandbox's command, its /etc, and what an operator is told."""

import resource
import sys
from pathlib import Path

import pytest

from upcall.containers.sandbox import guardian, launch, seccomp
from upcall.errors import Misconfigured


def settings(monkeypatch: pytest.MonkeyPatch, user: int, **values: str) -> None:
    monkeypatch.setattr(launch, "_setting", lambda name: values.get(name.replace("/", "_"), ""))
    monkeypatch.setattr("os.geteuid", lambda: user)


def test_a_missing_bubblewrap_is_named_with_the_package_and_the_switch(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Misconfigured, match=r"apt-get install bubblewrap.*--isolation none"):
        launch.mode("full")
    assert launch.mode("none") == "none"


def test_ubuntus_restriction_is_named_with_its_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    settings(monkeypatch, 1000, kernel_apparmor_restrict_unprivileged_userns="1")
    text = str(launch.refusal("some line\nbwrap: setting up uid map: Permission denied\n"))
    assert text.startswith("Actions cannot be isolated on this host: bwrap: setting up uid map: Permission denied.")
    assert "`sudo sysctl kernel.apparmor_restrict_unprivileged_userns=0`" in text
    assert "--isolation none" in text


def test_root_is_not_sent_to_a_setting_that_does_not_concern_it(monkeypatch: pytest.MonkeyPatch) -> None:
    settings(monkeypatch, 0, kernel_apparmor_restrict_unprivileged_userns="1", user_max_user_namespaces="0")
    text = str(launch.refusal("no"))
    assert "apparmor" not in text
    assert "sudo sysctl user.max_user_namespaces" in text


def test_an_ordinary_users_sandbox_maps_one_id_and_roots_goes_by_the_launcher(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    settings(monkeypatch, 1000)
    command = launch.isolated(tmp_path, "http://api", None)
    assert command[0].endswith("bwrap")
    assert "--unshare-user" in command
    assert command[command.index("__OW_API_HOST") + 1] == "http://api"
    assert command[command.index("--remount-ro") :][:2] == ["--remount-ro", "/"]
    settings(monkeypatch, 0)
    command = launch.isolated(tmp_path, "http://api", 7)
    assert command[0] == launch.interpreter()
    assert '"userns": 7' in command[-1]
    assert "--unshare-user" not in command[-1]


def test_the_synthetic_etc_holds_no_accounts_of_the_host(tmp_path: Path) -> None:
    launch.write_etc(tmp_path / "etc")
    names = {line.split(":")[0] for line in (tmp_path / "etc" / "passwd").read_text().splitlines()}
    assert names == {"root", "action", "nobody"}
    assert not (tmp_path / "etc" / "shadow").exists()
    assert (tmp_path / "etc" / "hosts").read_text().startswith("127.0.0.1 localhost")


def test_the_interpreter_is_the_one_below_the_virtual_environment() -> None:
    assert Path(launch.interpreter()).is_relative_to(sys.base_prefix)


def test_every_name_of_the_filter_is_a_system_call_that_libseccomp_knows() -> None:
    import pyseccomp

    unknown = [
        name for name in seccomp._NAMES.split() if pyseccomp.resolve_syscall(pyseccomp.system_arch(), name) == -1
    ]
    assert unknown == []
    assert len(seccomp.program()) % 8 == 0


def test_removing_a_folder_does_not_follow_links(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / "file").write_text("x")
    ours = tmp_path / "ours"
    (ours / "deep").mkdir(parents=True)
    (ours / "deep" / "file").write_text("x")
    (ours / "link").symlink_to(kept)
    (ours / "deep" / "dangling").symlink_to("nowhere")
    guardian.remove(str(ours))
    assert not ours.exists()
    assert (kept / "file").exists()


def test_too_few_open_files_are_told_and_not_a_container_blamed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda which: (40, 4096))
    said = str(launch.refusal("[Errno 24] Too many open files."))
    assert said == (
        "This process may open 40 files, sandboxes take 128: `ulimit -n 1024` ([Errno 24] Too many open files)."
    )
    monkeypatch.setattr(resource, "getrlimit", lambda which: (1024, 4096))
    assert str(launch.refusal("bwrap: no")).startswith("Actions cannot be isolated on this host: bwrap: no.")
