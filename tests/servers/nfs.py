"""A kernel NFS 4.1 client and server in user-mode Linux: the host's own kernel mounts nothing, and root is not needed.

The machine inside sees the host's files (hostfs), mounts its own server's export over its own loopback, and runs two
commands there: one with the server up, one after it has stopped answering.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[2]
_MODULES = Path("/usr/lib/uml/modules")
_PATH = f"{os.environ.get('PATH', '')}:/usr/local/sbin:/usr/sbin:/sbin"
_PROGRAMS = ("linux.uml", "modprobe", "ip", "exportfs", "rpc.nfsd", "rpc.mountd", "mount.nfs4")
_INSTALL = "apt-get install --no-install-recommends user-mode-linux kmod iproute2 nfs-common nfs-kernel-server"
_BOOT_S = 240

_SHIM = Path(__file__).with_name("xstate.c")

_INIT = """\
#!/bin/bash
touch {work}/started
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin PYTHONDONTWRITEBYTECODE=1 PYTHONPATH={repo}
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t tmpfs tmpfs /mnt; mount -t tmpfs tmpfs /run
ip link set lo up
exec >>{work}/log 2>&1
modprobe -d {work} nfs; modprobe -d {work} nfsv4; modprobe -d {work} nfsd
mkdir -p /mnt/exported /mnt/nfs /mnt/home; mount -t tmpfs tmpfs /mnt/exported
export HOME=/mnt/home TMPDIR=/mnt/home
mount -t nfsd nfsd /proc/fs/nfsd
mount -t tmpfs tmpfs /var/lib/nfs; mkdir -p /var/lib/nfs/v4recovery /var/lib/nfs/rpc_pipefs /var/lib/nfs/nfsdcltrack
touch /var/lib/nfs/etab /var/lib/nfs/rmtab /var/lib/nfs/xtab
exportfs -o rw,no_root_squash,insecure,fsid=0,no_subtree_check 127.0.0.1:/mnt/exported
rpc.nfsd -N 3 -H 127.0.0.1 4; rpc.mountd -N 3
timeout 20 mount -t nfs4 -o vers=4.1,port=2049,actimeo=0 127.0.0.1:/ /mnt/nfs
grep -q ' /mnt/nfs nfs4 ' /proc/mounts && touch {work}/mounted
cd {repo}
if [ -e {work}/mounted ]; then
    {up} >{work}/up.output 2>&1; echo $? >{work}/up.code
    rpc.nfsd 0
    {down} >{work}/down.output 2>&1; echo $? >{work}/down.code
fi
sync
{python} -c 'import ctypes; ctypes.CDLL(None).reboot(0x4321fedc)'
"""


@dataclass(frozen=True, slots=True)
class Ran:
    """What a command inside did."""

    code: int
    output: str


def run_on_nfs(folder: Path, *, up: str, down: str) -> tuple[Ran, Ran]:
    """Run two commands of a shell beside a mount at `/mnt/nfs`, in the repository's folder.

    Args:
        folder: For the machine's own files; its path has no spaces.
        up: While the server answers.
        down: After it has stopped.

    Skips the test where user-mode Linux or the mount does not work; fails it under CI, unless there can be no user-mode
    Linux: it is made for x86 alone, and a host may not let it trace its processes, so that nothing inside ever starts.
    """
    missing = [name for name in _PROGRAMS if shutil.which(name, path=_PATH) is None]
    missing += [] if _MODULES.is_dir() else [str(_MODULES)]
    if missing:
        sentence = f"{', '.join(missing)} not found; install with: {_INSTALL}"
        (pytest.fail if required() else pytest.skip)(sentence)
    (folder / "lib").mkdir()
    (folder / "lib" / "modules").symlink_to(_MODULES)
    (folder / "memory").mkdir()
    init = folder / "init"
    init.write_text(_INIT.format(repo=_ROOT, work=folder, up=up, down=down, python=sys.executable))
    init.chmod(0o755)
    command = [
        str(shutil.which("linux.uml", path=_PATH)),
        *("mem=1024M", "root=/dev/root", "rootfstype=hostfs", "rootflags=/", "rw", "quiet"),
        *("con=null", "con0=null,fd:1", "ssl=null", f"init={init}"),
    ]
    environment = {"PATH": _PATH, "HOME": str(folder), "TMPDIR": str(folder / "memory"), **_preloaded(folder)}
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env=environment,
            capture_output=True,
            timeout=_BOOT_S,
            check=False,
            stdin=subprocess.DEVNULL,
        )
        said = done.stdout[-500:] + done.stderr[-500:]
    except subprocess.TimeoutExpired as error:
        said = (error.stdout or b"")[-500:]
        if (folder / "mounted").exists():
            pytest.fail(f"the machine did not end within {_BOOT_S} s: {_text(folder / 'log')}")
    if not (folder / "mounted").exists():
        started = (folder / "started").exists()
        sentence = (
            f"{'its mount fails' if started else 'user-mode Linux does not run here'}: {said.decode(errors='replace')}"
        )
        (pytest.fail if started and required() else pytest.skip)(f"{sentence} {_text(folder / 'log')}")
    return _ran(folder, "up"), _ran(folder, "down")


def required() -> bool:
    """Whether the test may not be skipped for want of a program."""
    return bool(os.environ.get("CI")) and platform.machine() == "x86_64"


def _preloaded(folder: Path) -> dict[str, str]:
    """See the shim; nothing where it cannot be compiled, which most processors do not mind."""
    compiler, shim = shutil.which("cc", path=_PATH), folder / "xstate.so"
    if compiler is None:
        return {}
    subprocess.run([compiler, "-O1", "-shared", "-fPIC", "-o", shim, _SHIM, "-ldl"], check=True)
    return {"LD_PRELOAD": str(shim)}


def _ran(folder: Path, name: str) -> Ran:
    return Ran(int(_text(folder / f"{name}.code") or -1), _text(folder / f"{name}.output"))


def _text(path: Path) -> str:
    return path.read_text(errors="replace") if path.exists() else ""
