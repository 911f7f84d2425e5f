"""What the ports of a cluster say to those who do not hold its key."""

from __future__ import annotations

import socket
import ssl


def refuses_strangers(door: tuple[str, int]) -> bool:
    """Whether an encrypted connection without the cluster's key is closed by the other side."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with socket.create_connection(door, timeout=20) as plain, context.wrap_socket(plain) as encrypted:
            return encrypted.recv(1) == b""
    except (ssl.SSLError, ConnectionResetError):
        return True


PAGES = ("/", "/status", "/metrics", "/health", "/info/main/workers.html", "/json/counts.json", "/sysmon")


def serves_pages(door: tuple[str, int]) -> bool:
    """Whether a page is to be had without a key."""
    for page in PAGES:
        with socket.create_connection(door, timeout=20) as plain:
            plain.settimeout(20)
            plain.sendall(f"GET {page} HTTP/1.0\r\n\r\n".encode())
            try:
                said = plain.recv(100)
            except ConnectionResetError:
                continue
        if said and b" 404 " not in said:
            return True
    return False
