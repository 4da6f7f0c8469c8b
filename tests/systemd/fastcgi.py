#!/usr/bin/env python3
"""fastcgi.py - one FastCGI request on a Unix socket.

    fastcgi.py SOCKET METHOD PATH [BODY]        prints the status and the answer
"""
import re
import socket
import struct
import sys


def fastcgi(path, method, uri, body=b"", timeout=20):
    """(status, body, what came on standard error)."""
    def record(kind, data):
        return struct.pack(">BBHHBx", 1, kind, 1, len(data), 0) + data

    def pair(name, value):
        return b"".join(struct.pack(">I", len(x) | 1 << 31) for x in (name, value)) + name + value
    params = {"REQUEST_METHOD": method, "SCRIPT_NAME": uri, "PATH_INFO": "", "QUERY_STRING": "", "CONTENT_LENGTH": str(len(body)),
              "CONTENT_TYPE": "application/json", "SERVER_PROTOCOL": "HTTP/1.1", "REQUEST_URI": uri}
    out = record(1, struct.pack(">HB5x", 1, 0)) + record(4, b"".join(pair(k.encode(), v.encode()) for k, v in params.items())) + record(4, b"")
    for at in range(0, len(body), 65000):
        out += record(5, body[at:at + 65000])
    raw = b""
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(timeout)
        s.connect(path)
        s.sendall(out + record(5, b""))
        while more := s.recv(65536):
            raw += more
    text = {6: b"", 7: b"", 3: b""}
    while raw:
        version, kind, _, length, padding = struct.unpack(">BBHHBx", raw[:8])
        if version != 1 or kind not in text:
            raise ValueError(f"no FastCGI record: {raw[:80]!r}")
        text[kind] += raw[8:8 + length]
        raw = raw[8 + length + padding:]
    head, _, answer = text[6].partition(b"\r\n\r\n")
    status = re.search(rb"^Status: (\d+)", head, re.M)
    return int(status[1]) if status else 200, answer, text[7]


if __name__ == "__main__":
    status, answer, errors = fastcgi(sys.argv[1], sys.argv[2], sys.argv[3], "".join(sys.argv[4:]).encode())
    print(status, answer.decode(), errors.decode())
