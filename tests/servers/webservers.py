"""nginx, Apache, Caddy, lighttpd and Python's http.server over one folder: each with its own index pages and faults."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.servers import accepts, end, free_ports, need, wait_until
from tests.servers.authority import Authority

_MODULES = Path("/usr/lib/apache2/modules")


@dataclass(frozen=True, slots=True)
class WebServer:
    """One running server.

    Attributes:
        url: Without a final slash.
        folder: What lies under it.
    """

    url: str
    folder: Path


@dataclass(frozen=True, slots=True)
class Nginx(WebServer):
    """nginx, and its other faces over the same folder.

    Attributes:
        json: Lists in JSON.
        tls: Its certificate is from an authority of its own.
        mutual: Wants a client's certificate, too.
        basic: Wants `user` and `secret`.
        bearer: Wants the token `t0ken`.
        bare: No ETags, no index.
        authority: Who signed.
    """

    json: str
    tls: str
    mutual: str
    basic: str
    bearer: str
    bare: str
    authority: Authority


_NGINX = """\
daemon off; worker_processes 1; pid {d}/pid; error_log {d}/error.log; {user}
events {{ worker_connections 1024; }}
http {{
 access_log off; etag on; default_type application/octet-stream; charset utf-8; root {root}; autoindex on;
 client_body_temp_path {d}/tmp; proxy_temp_path {d}/tmp; fastcgi_temp_path {d}/tmp;
 uwsgi_temp_path {d}/tmp; scgi_temp_path {d}/tmp; keepalive_requests 100000;
 ssl_certificate {d}/server.pem; ssl_certificate_key {d}/server.key;
 server {{ listen 127.0.0.1:{html}; }}
 server {{ listen 127.0.0.1:{json}; autoindex_format json; }}
 server {{ listen 127.0.0.1:{tls} ssl; }}
 server {{ listen 127.0.0.1:{mutual} ssl; ssl_client_certificate {d}/ca.pem; ssl_verify_client on; }}
 server {{ listen 127.0.0.1:{basic}; auth_basic x; auth_basic_user_file {d}/htpasswd; }}
 server {{ listen 127.0.0.1:{bearer}; if ($http_authorization != "Bearer t0ken") {{ return 401; }} }}
 server {{ listen 127.0.0.1:{bare}; etag off; autoindex off; }}
}}
"""

_APACHE = """\
ServerRoot {d}
ServerName localhost
PidFile {d}/pid
ErrorLog {d}/error.log
Listen 127.0.0.1:{port}
LoadModule mpm_event_module {modules}/mod_mpm_event.so
LoadModule authz_core_module {modules}/mod_authz_core.so
LoadModule autoindex_module {modules}/mod_autoindex.so
LoadModule dir_module {modules}/mod_dir.so
LoadModule mime_module {modules}/mod_mime.so
TypesConfig /dev/null
DocumentRoot {root}
Mutex file:{d} default
{user}
MaxKeepAliveRequests 0
<Directory {root}>
 Options +Indexes
 IndexOptions FancyIndexing NameWidth=*
 IndexIgnoreReset ON
 Require all granted
</Directory>
"""

_CADDY = """\
{{
 admin off
 auto_https off
}}
http://127.0.0.1:{port} {{
 root * {root}
 file_server browse
}}
"""

_LIGHTTPD = """\
server.modules = ("mod_dirlisting", "mod_staticfile")
server.document-root = "{root}"
server.port = {port}
server.bind = "127.0.0.1"
server.errorlog = "{d}/error.log"
server.pid-file = "{d}/pid"
server.upload-dirs = ("{d}")
server.stat-cache-engine = "disable"
dir-listing.activate = "enable"
dir-listing.encoding = "utf-8"
dir-listing.hide-dotfiles = "disable"
mimetype.assign = ("" => "application/octet-stream")
"""


@contextmanager
def nginx_server(d: Path, root: Path) -> Iterator[Nginx]:
    """All faces in one process."""
    need(("nginx",), install="apt-get install --no-install-recommends nginx")
    names = ("html", "json", "tls", "mutual", "basic", "bearer", "bare")
    ports = dict(zip(names, free_ports(len(names)), strict=True))
    (d / "tmp").mkdir()
    authority = Authority(d)
    # htpasswd's {PLAIN}: no hash to make here.
    (d / "htpasswd").write_text("user:{PLAIN}secret\n")
    (d / "nginx.conf").write_text(_NGINX.format(d=d, root=root, user=_as_root("user root;"), **ports))
    command = ["nginx", "-c", f"{d}/nginx.conf", "-e", f"{d}/error.log"]
    urls = {name: f"{'https' if name in ('tls', 'mutual') else 'http'}://127.0.0.1:{ports[name]}" for name in names}
    with _running(command, d, ports["html"]):
        yield Nginx(url=urls.pop("html"), folder=root, authority=authority, **urls)


@contextmanager
def apache_server(d: Path, root: Path) -> Iterator[WebServer]:
    """FancyIndexing."""
    need(("apache2",), install="apt-get install --no-install-recommends apache2")
    (port,) = free_ports(1)
    user = _as_root("User www-data\nGroup www-data")
    (d / "apache.conf").write_text(_APACHE.format(d=d, root=root, port=port, modules=_MODULES, user=user))
    with _running(["apache2", "-f", f"{d}/apache.conf", "-D", "FOREGROUND"], d, port):
        yield WebServer(f"http://127.0.0.1:{port}", root)


@contextmanager
def caddy_server(d: Path, root: Path) -> Iterator[WebServer]:
    """HTML, and JSON to who asks for it."""
    need(("caddy",), install="apt-get install --no-install-recommends caddy")
    (port,) = free_ports(1)
    (d / "Caddyfile").write_text(_CADDY.format(port=port, root=root))
    with _running(["caddy", "run", "--adapter", "caddyfile", "--config", f"{d}/Caddyfile"], d, port):
        yield WebServer(f"http://127.0.0.1:{port}", root)


@contextmanager
def lighttpd_server(d: Path, root: Path) -> Iterator[WebServer]:
    """Sizes rounded; If-Match ignored."""
    need(("lighttpd",), install="apt-get install --no-install-recommends lighttpd")
    (port,) = free_ports(1)
    (d / "lighttpd.conf").write_text(_LIGHTTPD.format(d=d, root=root, port=port))
    with _running(["lighttpd", "-D", "-f", f"{d}/lighttpd.conf"], d, port):
        yield WebServer(f"http://127.0.0.1:{port}", root)


@contextmanager
def python_server(d: Path, root: Path) -> Iterator[WebServer]:
    """Python's http.server: no ETags, no ranges, no sizes in its index."""
    (port,) = free_ports(1)
    command = [sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1", "--directory", str(root)]
    with _running(command, d, port):
        yield WebServer(f"http://127.0.0.1:{port}", root)


@contextmanager
def _running(command: list[str], d: Path, port: int) -> Iterator[None]:
    environment = {"PATH": "/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": str(d), "TZ": "UTC"}
    program = shutil.which(command[0]) or command[0]
    with (d / "output").open("wb") as log:
        process = subprocess.Popen([program, *command[1:]], stdout=log, stderr=log, env=environment)
    try:
        wait_until(lambda: accepts(port) or process.poll() is not None, what=command[0])
        assert process.poll() is None, (d / "output").read_text()
        yield
    finally:
        end(process)


def _as_root(setting: str) -> str:
    """A setting that only a server started by root takes."""
    return setting if os.geteuid() == 0 else ""
