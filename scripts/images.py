"""Builds upcall/python, upcall/nodejs, upcall/skeleton, and upcall/invoker where it is named, by the Engine API; no
docker command is needed.

A base image that the engine has is used as it is, another one is pulled first. What was built is asked for its
interpreter's version, which becomes a second tag: upcall/python:3.11 beside upcall/python:0.1.0.
"""

import asyncio
import io
import os
import re
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import click
import images_invoker
from aiodocker import Docker, DockerError

import upcall

ROOT = Path(__file__).parents[1]
SOCKET = "unix:///var/run/docker.sock"
UNREACHED = 900
"""aiodocker's status where there was no answer."""
ENDINGS = (".py", ".cjs")


class Kind(NamedTuple):
    """What one image is made of."""

    base: str
    """Where the command line names none."""
    option: str
    folders: tuple[str, ...]
    """Of `upcall/runtimes`."""
    asked: tuple[str, ...]
    """What prints its interpreter's version."""
    parts: int
    """How many of the version's parts its tag has; 0: there is none."""


PYTHON = Kind("python:3.11-slim", "--base-python", ("python", "native"), ("python3", "--version"), 2)
KINDS = {
    "python": PYTHON,
    "nodejs": Kind("node:20-slim", "--base-nodejs", ("nodejs",), ("node", "--version"), 1),
    "skeleton": PYTHON._replace(parts=0),
}
INVOKER = PYTHON._replace(option="--base-invoker", folders=(), parts=0)
ALL = {**KINDS, "invoker": INVOKER}


class Failed(click.ClickException):
    """One sentence with the way out."""

    def show(self, file: Any = None) -> None:
        print(f"images: {self.message}", file=file or sys.stderr)


def runtime_files(name: str) -> Iterator[tuple[str, Path]]:
    """Names in the build's context, and where they are."""
    places = ROOT / "deploy" / "images"
    yield from (("Dockerfile", places / name / "Dockerfile"), ("start", places / "start"))
    for folder in ("", *KINDS[name].folders):
        for path in sorted((ROOT / "upcall" / "runtimes" / folder).glob("*")):
            if path.suffix in ENDINGS:
                yield str(Path("upcall_runtime", folder, path.name)), path


def packed(files: Iterable[tuple[str, Path]]) -> bytes:
    """What the engine builds from, as a tar that is the same each time."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as tar:
        for inner, path in files:
            entry = tarfile.TarInfo(inner)
            entry.size, entry.mode = path.stat().st_size, 0o755 if os.access(path, os.X_OK) else 0o644
            tar.addfile(entry, io.BytesIO(path.read_bytes()))
    return data.getvalue()


async def context(docker: Docker, name: str, base: str, nodejs: str) -> bytes:
    """`nodejs` is the image whose Node.js an Invoker gets; empty: it gets none. Raises Failed."""
    if name != "invoker":
        return packed(runtime_files(name))
    version = ".".join((await version_of(docker, base, INVOKER.asked)).split(".")[:2])
    machine = (await docker.system.info())["Architecture"]
    try:
        with tempfile.TemporaryDirectory() as folder:
            files = images_invoker.files(Path(folder, "packages"), version, machine)
            node = await node_of(docker, nodejs, Path(folder, "node")) if nodejs else []
            return packed([*files, *node])
    except images_invoker.NotThere as error:
        raise Failed(f"upcall/{name} cannot be built on {base}: {error}.") from error


async def node_of(docker: Docker, image: str, target: Path) -> list[tuple[str, Path]]:
    """The executable alone, as a file of the context. Raises Failed."""
    await fetch(docker, image, KINDS["nodejs"].option)
    path = await output(docker, image, ("node", "-p", "process.execPath"))
    container = await docker.containers.create({"Image": image, "Cmd": [path.strip()]})
    try:
        with await container.get_archive(path.strip()) as tar:
            found = tar.extractfile(tar.getmembers()[0])
            assert found is not None
            await asyncio.to_thread(target.write_bytes, found.read())
            await asyncio.to_thread(target.chmod, 0o755)
    finally:
        await container.delete(force=True)
    return [("programs/node", target)]


async def fetch(docker: Docker, image: str, option: str) -> None:
    """Have the base image there. Raises Failed."""
    try:
        await docker.images.inspect(image)
        return
    except DockerError as error:
        if error.status != 404:
            raise
    print(f"  pulling {image}", flush=True)
    name = image if set(":@") & set(image.rpartition("/")[2]) else f"{image}:latest"
    try:
        async for told in docker.images.pull(name, stream=True):
            if told.get("error"):
                raise Failed(absent(image, told["error"], option))
    except DockerError as error:
        raise Failed(absent(image, error.message, option)) from error


def absent(image: str, why: str, option: str) -> str:
    return f"the base image {image} is not there and cannot be pulled: {why.strip()}. Name another with {option} IMAGE."


async def build(docker: Docker, name: str, base: str, tag: str, nodejs: str) -> list[str]:
    """The names of what was built. Raises Failed."""
    kind, image = ALL[name], f"upcall/{name}:{tag}"
    begin = time.monotonic()
    print(f"{image}, from {base}", flush=True)
    await fetch(docker, base, kind.option)
    said: list[str] = []
    try:
        with io.BytesIO(await context(docker, name, base, nodejs)) as data:
            async for told in docker.images.build(
                fileobj=data, encoding="identity", tag=image, buildargs={"BASE": base}, forcerm=True, stream=True
            ):
                said.append(click.unstyle(told.get("stream", "")))
    except DockerError as error:
        raise Failed(f"{image} cannot be built on {base}: {error.message}\n{''.join(said)}".rstrip()) from error
    made = [image]
    if kind.parts:
        version = ".".join((await version_of(docker, image, kind.asked)).split(".")[: kind.parts])
        await docker.images.tag(image, repo=f"upcall/{name}", tag=version)
        made.append(f"upcall/{name}:{version}")
    size = (await docker.images.inspect(image))["Size"] / 1e6
    print(f"  {' '.join(made)}  {size:.0f} MB, {time.monotonic() - begin:.1f} s", flush=True)
    return made


async def version_of(docker: Docker, image: str, command: tuple[str, ...]) -> str:
    """What the interpreter in an image says, `3.11.2`. Raises Failed."""
    said = await output(docker, image, command)
    if found := re.search(r"\d+(\.\d+)+", said):
        return found[0]
    raise Failed(f"{image} does not run: `{' '.join(command)}` prints {said.strip()!r}.")


async def output(docker: Docker, image: str, command: tuple[str, ...]) -> str:
    """What a program of an image prints."""
    program, *arguments = command
    config: dict[str, Any] = {
        "Image": image,
        "Entrypoint": [program],
        "Cmd": arguments,
        "HostConfig": {"NetworkMode": "none"},
    }
    container = await docker.containers.create(config)
    try:
        await container.start()
        await container.wait()
        return "".join(await container.log(stdout=True, stderr=True))
    finally:
        await container.delete(force=True)


async def make(names: tuple[str, ...], bases: dict[str, str], host: str, tag: str, nodejs: str) -> None:
    """Raises Failed."""
    try:
        async with Docker(host) as docker:
            for name in names:
                await build(docker, name, bases[ALL[name].option], tag, nodejs)
    except ValueError as error:
        raise Failed(f"{host!r} is no address of a Docker engine: write unix:///path or tcp://host:port.") from error
    except DockerError as error:
        hint = ". Start Docker, or name its address with --docker-host URL." if error.status == UNREACHED else ""
        raise Failed(f"the Docker engine at {host} says: {error.message}{hint}") from error


@click.command(
    help=f"Build the images of upcall's runtimes: {', '.join(KINDS)}; or only those that are named, of which 'invoker' "
    "is one, too: an Invoker as deployments of OpenWhisk start it."
)
@click.argument("names", nargs=-1, type=click.Choice(list(ALL)), metavar="[NAME]...")
@click.option("--base-python", metavar="IMAGE", default=PYTHON.base, show_default=True, help="of python and skeleton")
@click.option("--base-nodejs", metavar="IMAGE", default=KINDS["nodejs"].base, show_default=True, help="of nodejs")
@click.option("--base-invoker", metavar="IMAGE", default=INVOKER.base, show_default=True, help="of invoker, with bash")
@click.option(
    "--with-nodejs", is_flag=True, help="invoker gets the Node.js of --base-nodejs: its sandboxes run it, too"
)
@click.option("--docker-host", metavar="URL", default=lambda: os.environ.get("DOCKER_HOST", SOCKET), help="the engine")
@click.option("--tag", default=upcall.__version__, show_default=True, help="of the images")
def main(names: tuple[str, ...], docker_host: str, tag: str, with_nodejs: bool, **bases: str) -> None:
    of_options = {f"--{name.replace('_', '-')}": base for name, base in bases.items()}
    nodejs = of_options["--base-nodejs"] if with_nodejs else ""
    asyncio.run(make(names or tuple(KINDS), of_options, docker_host, tag, nodejs))


if __name__ == "__main__":
    main()
