"""Ceph's radosgw with one monitor and one storage daemon: checks signatures and really keeps versions."""

from __future__ import annotations

import subprocess
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.servers import S3Server, accepts, end, free_ports, need, wait_until

_BINARIES = ("ceph", "ceph-mon", "ceph-osd", "ceph-authtool", "monmaptool", "radosgw", "radosgw-admin")
_INSTALL = "apt-get install --no-install-recommends radosgw ceph-mon ceph-osd"

# memstore: nothing but metadata touches the disk. No mgr: nothing here needs one. The pools are tiny, and
# what runs in the background of a real cluster is off, so that a test sees its own load only.
_CONF = """\
[global]
fsid = {fsid}
mon host = [v2:127.0.0.1:{v2},v1:127.0.0.1:{v1}]
public network = 127.0.0.0/8
keyring = {d}/keyring
run dir = {d}
admin socket = {d}/$name.asok
log file = {d}/$name.log
crash dir = {d}
auth allow insecure global id reclaim = false
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 8
osd pool default pgp num = 8
osd pool default pg autoscale mode = off
osd crush chooseleaf type = 0
mon allow pool size one = true
mon data avail crit = 1
mon data avail warn = 2
mon max pg per osd = 2000
[mon.a]
mon data = {d}/mon
[osd.0]
osd data = {d}/osd
osd objectstore = memstore
memstore device bytes = 8589934592
[client.rgw]
rgw frontends = beast endpoint=127.0.0.1:{port}
rgw dns name = localhost
rgw enable usage log = false
rgw enable gc threads = false
rgw enable lc threads = false
rgw run sync thread = false
rgw dynamic resharding = false
rgw override bucket index max shards = 0
"""
_CAPS = {
    "mon.": ("mon", "allow *"),
    "client.admin": ("mon", "allow *", "osd", "allow *", "mgr", "allow *"),
    "client.rgw": ("mon", "allow *", "osd", "allow *"),
    "osd.0": ("mon", "allow profile osd"),
}


@contextmanager
def radosgw_server(folder: Path) -> Iterator[S3Server]:
    """A cluster of one's own in `folder` (short path: admin sockets allow about 100 characters)."""
    need(_BINARIES, install=_INSTALL)
    port, v1, v2 = free_ports(3)
    conf = folder / "ceph.conf"
    conf.write_text(_CONF.format(fsid=uuid.uuid4(), d=folder, port=port, v1=v1, v2=v2))
    for name in ("mon", "osd"):
        (folder / name).mkdir()
    server = S3Server(f"http://127.0.0.1:{port}", "testaccess", "testsecret", "us-east-1", checks_signatures=True)
    with ExitStack() as daemons:

        def run(*command: str) -> str:
            return subprocess.run(
                [*command, "-c", str(conf)], check=True, capture_output=True, text=True, timeout=60
            ).stdout

        def start(*command: str) -> None:
            log = daemons.enter_context((folder / f"{command[0]}.out").open("wb"))
            daemon = subprocess.Popen([*command, "-f", "-c", str(conf)], stdout=log, stderr=log)
            daemons.callback(end, daemon)

        _write_keys(folder, v1=v1, v2=v2)
        run("ceph-mon", "--mkfs", "-i", "a", "--monmap", f"{folder}/monmap", "--keyring", f"{folder}/keyring")
        start("ceph-mon", "-i", "a")
        osd = str(uuid.uuid4())
        run("ceph", "--connect-timeout", "30", "osd", "new", osd)
        run("ceph-osd", "-i", "0", "--mkfs", "--osd-uuid", osd)
        run("ceph", "osd", "crush", "add", "osd.0", "1.0", "host=localhost", "root=default")
        start("ceph-osd", "-i", "0")
        wait_until(lambda: "1 up" in run("ceph", "osd", "stat"), what="the storage daemon")
        keys = (f"--access-key={server.key}", f"--secret={server.secret}")
        run("radosgw-admin", "-n", "client.rgw", "user", "create", "--uid=test", "--display-name=test", *keys)
        start("radosgw", "-n", "client.rgw")
        wait_until(lambda: accepts(port), what="radosgw")
        yield server


def _write_keys(folder: Path, *, v1: int, v2: int) -> None:
    keyring = f"{folder}/keyring"
    for number, (name, caps) in enumerate(_CAPS.items()):
        pairs = [part for kind, what in zip(caps[::2], caps[1::2], strict=True) for part in ("--cap", kind, what)]
        create = [] if number else ["--create-keyring"]
        command = ["ceph-authtool", *create, keyring, "--gen-key", "-n", name, *pairs]
        subprocess.run(command, check=True, capture_output=True)
    address = f"[v2:127.0.0.1:{v2},v1:127.0.0.1:{v1}]"
    map_file = f"{folder}/monmap"
    fsid = (folder / "ceph.conf").read_text().split("fsid = ")[1].split()[0]
    command = ["monmaptool", "--create", "--fsid", fsid, "--addv", "a", address, map_file]
    subprocess.run(command, check=True, capture_output=True)
