"""Images that keep the contracts of apache/kafka and postgres as far as deploy/upcall-fleet.yml relies on them, of this
machine's packages and the tests' Kafka: no registry of images has a part in it.

    postgres        POSTGRES_USER, POSTGRES_DB, POSTGRES_PASSWORD, PGDATA; pg_isready
    apache/kafka    KAFKA_A_B is the property a.b, KAFKA_HEAP_OPTS the JVM's; storage is formatted at the first start
"""

import subprocess
from pathlib import Path
from uuid import uuid4

from tests.kubernetes.cluster import programs
from tests.system import kafka
from tests.system.engine_images import DPKG, FINISH, digest, suite

ENTRYPOINT = "/usr/local/bin/entrypoint"
POSTGRES = """#!/bin/bash -e
if [ ! -e "$PGDATA/PG_VERSION" ]; then
    initdb -U "$POSTGRES_USER" -A scram-sha-256 --pwfile=<(echo "$POSTGRES_PASSWORD") -E UTF8 --locale=C >&2
    echo "host all all all scram-sha-256" >> "$PGDATA/pg_hba.conf"
    [ "$POSTGRES_DB" = postgres ] ||
        echo "CREATE DATABASE \\"$POSTGRES_DB\\"" | postgres --single -D "$PGDATA" postgres >&2
fi
exec postgres -c listen_addresses='*'
"""
KAFKA = """#!/bin/bash -e
settings=/tmp/server.properties
env | grep ^KAFKA_ | grep -v ^KAFKA_HEAP_OPTS= | while IFS='=' read -r name value; do
    name=${name#KAFKA_} && name=${name//_/.} && echo "${name,,}=$value"
done > $settings
echo share.coordinator.state.topic.replication.factor=1 >> $settings
echo share.coordinator.state.topic.min.isr=1 >> $settings
run() { java $KAFKA_HEAP_OPTS -XX:+UseSerialGC -cp '/opt/kafka/libs/*' "$@"; }
run kafka.tools.StorageTool format --ignore-formatted --cluster-id upcall-test-cluster-00 -c $settings
exec java $KAFKA_HEAP_OPTS -XX:+UseSerialGC -cp '/opt/kafka/libs/*' kafka.Kafka $settings
"""
LEFT = [f"--dpkgopt=path-exclude={path}" for path in ("/usr/lib/*/libLLVM*", "/usr/lib/postgresql/*/lib/bitcode/*")]
"""A third of it, for queries that are compiled."""
BASE = "base-files,bash,coreutils,dash,grep,libc-bin"
LINKED = (
    "ldconfig -r $1 && mkdir -p $1/usr/local/bin && for each in $1/{}; do ln -sf ${{each#$1}} $1/usr/local/bin/; done"
)


def postgres() -> Path:
    """A root file system as a tar."""
    user = "echo postgres:x:999:999::/var/lib/postgresql:/bin/sh >> $1/etc/passwd"
    return _root("postgres", "postgresql", POSTGRES, [LINKED.format("usr/lib/postgresql/*/bin/*"), user])


def broker() -> Path:
    """A root file system as a tar."""
    jars = f"mkdir -p $1/opt/kafka && cp -r {kafka.jars()} $1/opt/kafka/libs"
    return _root("kafka", "default-jre-headless", KAFKA, [LINKED.format("usr/lib/jvm/*/bin/java"), jars])


def _root(name: str, package: str, script: str, hooks: list[str]) -> Path:
    packages = f"{BASE},{package}"
    stamp = digest(packages, script, *hooks, *DPKG, *LEFT, FINISH, suite())
    made = programs.cache() / "images" / f"{name}-{stamp}.tar"
    with programs.locked(name):
        if not made.exists():
            part, start = made.with_name(f".{uuid4().hex}.tar"), made.with_suffix(".sh")
            start.write_text(script)
            hooks = [FINISH, *hooks, f"install -m 755 {start} $1{ENTRYPOINT}"]
            command = [
                "mmdebstrap",
                "--quiet",
                "--format=tar",
                "--variant=extract",
                f"--include={packages}",
                *DPKG,
                *LEFT,
            ]
            command += [*(f"--extract-hook={hook}" for hook in hooks), suite(), str(part)]
            try:
                done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=600)
                if done.returncode != 0:
                    raise RuntimeError(f"mmdebstrap failed:\n{done.stderr[-2000:]}")
                part.rename(made)
            finally:
                part.unlink(missing_ok=True)
                start.unlink()
    return made
