"""The drive's control socket from Python: what src/doors/include/doors/control.h describes.

Only what the measurements need: requests on one open connection, data frames that come back, and a
file descriptor sent along.
"""
import array
import os
import socket
import struct


def pack(value):
    """MessagePack of None, bool, int, str, bytes, list and dict."""
    if value is None:
        return b"\xc0"
    if isinstance(value, bool):
        return b"\xc3" if value else b"\xc2"
    if isinstance(value, int):
        if 0 <= value < 128:
            return struct.pack("B", value)
        return b"\xcf" + struct.pack(">Q", value) if value >= 0 else b"\xd3" + struct.pack(">q", value)
    if isinstance(value, str):
        text = value.encode()
        return b"\xdb" + struct.pack(">I", len(text)) + text
    if isinstance(value, (bytes, bytearray)):
        return b"\xc6" + struct.pack(">I", len(value)) + value
    if isinstance(value, list):
        return b"\xdd" + struct.pack(">I", len(value)) + b"".join(map(pack, value))
    pairs = b"".join(pack(key) + pack(one) for key, one in value.items())
    return b"\xdf" + struct.pack(">I", len(value)) + pairs


_NUMBERS = {0xca: ">f", 0xcb: ">d", 0xcc: ">B", 0xcd: ">H", 0xce: ">I", 0xcf: ">Q",
            0xd0: ">b", 0xd1: ">h", 0xd2: ">i", 0xd3: ">q"}
_LENGTHS = {0xc4: ">B", 0xc5: ">H", 0xc6: ">I", 0xd9: ">B", 0xda: ">H", 0xdb: ">I",
            0xdc: ">H", 0xdd: ">I", 0xde: ">H", 0xdf: ">I"}


def unpack(data, at=0):
    """One value of MessagePack and where it ends."""
    kind = data[at]
    at += 1
    if kind < 0x80:
        return kind, at
    if kind >= 0xe0:
        return kind - 256, at
    if kind in (0xc0, 0xc2, 0xc3):
        return {0xc0: None, 0xc2: False, 0xc3: True}[kind], at
    if kind in _NUMBERS:
        end = at + struct.calcsize(_NUMBERS[kind])
        return struct.unpack(_NUMBERS[kind], data[at:end])[0], end
    if kind < 0xc0:
        length = kind & (0x1f if kind >= 0xa0 else 0x0f)
        family = "map" if kind < 0x90 else "list" if kind < 0xa0 else "text"
    else:
        end = at + struct.calcsize(_LENGTHS[kind])
        length = struct.unpack(_LENGTHS[kind], data[at:end])[0]
        at = end
        family = "bytes" if kind < 0xc7 else "text" if kind < 0xdc else "list" if kind < 0xde else "map"
    if family in ("bytes", "text"):
        raw = bytes(data[at:at + length])
        return (raw if family == "bytes" else raw.decode()), at + length
    values = []
    for _ in range(length * (2 if family == "map" else 1)):
        value, at = unpack(data, at)
        values.append(value)
    return (dict(zip(values[::2], values[1::2])) if family == "map" else values), at


class Refused(Exception):
    pass


class ControlClient:
    """One open connection to the server of a drive; one request at a time."""

    def __init__(self, drive):
        folder = os.open(drive, os.O_PATH | os.O_DIRECTORY)
        self.socket = socket.socket(socket.AF_UNIX)
        try:
            self.socket.connect("/proc/self/fd/%d/control.sock" % folder)  # any length of path fits
        finally:
            os.close(folder)

    def close(self):
        self.socket.close()

    def _exactly(self, count):
        data = bytearray(count)
        view = memoryview(data)
        while count:
            got = self.socket.recv_into(view[len(data) - count:])
            if got == 0:
                raise Refused("the server has gone away")
            count -= got
        return data

    def request(self, op, fds=(), **fields):
        """Asks, and returns the final answer and all data that came before it."""
        body = pack({"op": op, **fields})
        frame = struct.pack(">IB", len(body), 0) + body
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        sent = self.socket.sendmsg([frame], rights)
        self.socket.sendall(frame[sent:])
        data = bytearray()
        while True:
            length, kind = struct.unpack(">IB", self._exactly(5))
            payload = self._exactly(length)
            if kind == 1:
                data += payload
                continue
            message, _ = unpack(payload)
            if "ok" not in message:
                continue
            if not message["ok"]:
                raise Refused(message.get("error", b"").decode(errors="replace"))
            return message, data
