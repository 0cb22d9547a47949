"""`asyncref demo`: the whole job on a local S3 server and a file tree, by the very commands that a user types."""

from __future__ import annotations

import hashlib
import logging
import os
import random
import shlex
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from asyncref.cli.exits import INCOMPLETE, OK
from asyncref.cli.output import emit_lines
from asyncref.errors import AsyncrefError, UsageError

app = typer.Typer(rich_markup_mode=None)

_PREFIX: Final = "datasets/mnist"
_LABELS: Final = ("train/0.png", "train/1.png", "train/2.png", "test/0.png", "test/1.png", "labels.csv")
_SCRIPT: Final = """\
import asyncref as wandb

run = wandb.init(job_type="train")
artifact = wandb.Artifact(name="photos", type="dataset")
artifact.add_reference(uri="file://{tree}")
run.log_artifact(artifact)
artifact = run.use_artifact("photos:latest", type="dataset")
print(artifact.download())
run.finish()
"""


@app.command("demo")
def demo(
    folder: Annotated[
        Path | None, typer.Option("--folder", help="Keep everything here; a temporary folder if none is given.")
    ] = None,
) -> None:
    """Show the whole job on a local server, without an account.

    Needs a local S3 server: pip install 'moto[server]'.
    """
    if find_spec("moto") is None or find_spec("flask") is None:
        raise UsageError("the demo needs a local S3 server", hint="pip install 'moto[server]'")
    if folder is None:
        with tempfile.TemporaryDirectory(prefix="asyncref-demo-") as temporary:
            _play(Path(temporary))
    else:
        folder.mkdir(parents=True, exist_ok=True)
        _play(folder.absolute())


@dataclass(frozen=True, slots=True)
class Stage:
    """Where the demo runs: says what it does, does it, and stops if something does not go as told."""

    folder: Path
    environment: dict[str, str]
    client: Any

    def title(self, text: str) -> None:
        """A step's heading."""
        emit_lines(["", f"== {text}"])

    def say(self, text: str) -> None:
        """A sentence or more."""
        emit_lines(textwrap.wrap(text, 100, break_on_hyphens=False))

    def run(self, command: str, *, expect: int = OK) -> None:
        """Print a command line, run it, show what it prints.

        Raises:
            AsyncrefError: Another exit code than expected.
        """
        emit_lines([f"$ {command}"])
        words = shlex.split(command)
        program = [sys.executable, "-m", "asyncref"] if words[0] == "asyncref" else [sys.executable]
        sys.stdout.flush()
        done = subprocess.run(  # noqa: S603  the demo's own words
            [*program, *words[1:]],
            cwd=self.folder,
            env=self.environment,
            check=False,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        emit_lines(textwrap.indent(done.stdout, "  ").splitlines())
        if done.returncode != expect:
            raise AsyncrefError(f"the demo expected exit code {expect} and got {done.returncode}: {command}")
        if expect != OK:
            self.say(f"(exit code {expect})")

    def put(self, bucket: str, key: str, body: bytes) -> str:
        """Upload one object; its sha256."""
        emit_lines([f"  put    s3://{bucket}/{key}  ({len(body):,} bytes)"])
        self.client.put_object(Bucket=bucket, Key=key, Body=body)
        return hashlib.sha256(body).hexdigest()

    def delete(self, bucket: str, key: str) -> None:
        """Delete one object."""
        emit_lines([f"  delete s3://{bucket}/{key}"])
        self.client.delete_object(Bucket=bucket, Key=key)


def _play(folder: Path) -> None:
    with _server() as endpoint:
        stage = _stage(folder, endpoint)
        stage.say(
            f"A local S3 server answers at {endpoint}; AWS_ENDPOINT_URL points the commands there, and ASYNCREF_REGISTRY "
            f"keeps the demo's versions apart from yours. Everything lies in {folder}."
        )
        _versioned_bucket(stage)
        _unversioned_bucket(stage)
        _file_tree(stage)
    emit_lines(["", "That is all: log copied nothing, and v0 stayed v0."])


def _versioned_bucket(stage: Stage) -> None:
    made = random.Random(0)  # noqa: S311  pretend pictures
    bucket, source = "my-bucket", f"s3://my-bucket/{_PREFIX}"
    stage.title("A versioned bucket with a dataset in it")
    stage.client.create_bucket(Bucket=bucket)
    stage.client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    uploaded = {name: stage.put(bucket, f"{_PREFIX}/{name}", made.randbytes(2_000)) for name in _LABELS}

    stage.title("Log it as mnist:v0: paths, sizes, ETags and version ids, from the listing alone")
    stage.run(f"asyncref log mnist {source}")
    stage.run("asyncref ls mnist:v0")

    stage.title("The bucket changes: one object overwritten, one deleted, one added")
    stage.put(bucket, f"{_PREFIX}/train/0.png", made.randbytes(2_100))
    stage.delete(bucket, f"{_PREFIX}/test/1.png")
    stage.put(bucket, f"{_PREFIX}/train/3.png", made.randbytes(2_000))
    stage.run("asyncref status mnist:v0")

    stage.title("Log v1, and see what changed")
    stage.run(f"asyncref log mnist {source}")
    stage.run("asyncref diff mnist:v0 mnist:v1")

    stage.title("Fetch v0: exactly the old bytes, by their version ids")
    stage.run("asyncref fetch mnist:v0 old")
    found = {name: hashlib.sha256((stage.folder / "old" / name).read_bytes()).hexdigest() for name in uploaded}
    for name, wanted in uploaded.items():
        emit_lines([f"  sha256 {found[name][:16]}...  {'as uploaded' if found[name] == wanted else 'WRONG'}  {name}"])
    if found != uploaded:
        raise AsyncrefError("the demo got other bytes than were uploaded")
    stage.run("asyncref verify mnist:v0 old")


def _unversioned_bucket(stage: Stage) -> None:
    stage.title("A bucket without versioning: overwritten bytes are gone, and asyncref says so instead of lying")
    stage.client.create_bucket(Bucket="plain")
    stage.put("plain", "model/weights.bin", b"epoch 1" * 100)
    stage.put("plain", "model/config.json", b"{}")
    stage.run("asyncref log model s3://plain/model --type model")
    stage.put("plain", "model/weights.bin", b"epoch 2" * 100)
    stage.run("asyncref fetch model:v0", expect=INCOMPLETE)


def _file_tree(stage: Stage) -> None:
    stage.title("A file tree, and a W&B script with only its import changed")
    tree = stage.folder / "photos"
    tree.mkdir(exist_ok=True)
    for name in ("a.jpg", "b.jpg"):
        (tree / name).write_bytes(name.encode() * 500)
    script = _SCRIPT.format(tree=tree)
    (stage.folder / "train.py").write_text(script)
    emit_lines(["  " + line for line in script.splitlines()])
    stage.run("python train.py")
    stage.run("asyncref lineage photos:v0")


@contextmanager
def _server() -> Iterator[str]:
    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # it prints every request
    server = import_module("moto.server").ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        yield f"http://{host}:{port}"
    finally:
        server.stop()


def _stage(folder: Path, endpoint: str) -> Stage:
    account = {"AWS_ACCESS_KEY_ID": "demo", "AWS_SECRET_ACCESS_KEY": "demo", "AWS_DEFAULT_REGION": "us-east-1"}
    foreign = ("AWS_", "WANDB_", "ASYNCREF_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    environment = {
        **kept,
        **account,
        "AWS_ENDPOINT_URL": endpoint,
        "ASYNCREF_HOME": str(folder / "asyncref"),
        "ASYNCREF_REGISTRY": f"sqlite:///{folder / 'registry.db'}",
        "NO_PROXY": "127.0.0.1",
        "WANDB_ENTITY": "you",
        "WANDB_PROJECT": "demo",
    }
    client = import_module("boto3").client(
        "s3",
        endpoint_url=endpoint,
        aws_access_key_id="demo",
        aws_secret_access_key="demo",  # noqa: S106  moto takes any
        region_name="us-east-1",
        config=import_module("botocore.config").Config(proxies={}),
    )
    return Stage(folder, environment, client)
