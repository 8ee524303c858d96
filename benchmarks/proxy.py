"""A way to a server that can be cut, blocked, slowed down or made to answer that its disk is full."""

import socket
import threading
import time
from contextlib import suppress

FULL = (
    b"HTTP/1.1 507 Insufficient Storage\r\nContent-Type: application/json\r\nContent-Length: 2\r\n"
    b"Connection: close\r\n\r\n{}"
)


class Proxy:
    """Forwards connections on a port of its own; `state` is pass, refuse, hang, slow (2 s an answer) or full."""

    DELAY = 2.0

    def __init__(self, uri):
        host, port = uri.removeprefix("http://").split(":")
        self._server = (host, int(port))
        self.state = "pass"
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.uri = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self):
        self._listener.close()

    def _accept(self):
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client):
        with suppress(OSError), client:
            if self.state == "refuse":
                # A reset, as from a port where nobody listens.
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                return
            while self.state == "hang":
                time.sleep(0.05)
            if self.state == "full":
                client.recv(65536)
                client.sendall(FULL)
                return
            with socket.create_connection(self._server) as server:
                threading.Thread(target=self._pump, args=(client, server, False), daemon=True).start()
                self._pump(server, client, True)

    def _pump(self, source, sink, answers):
        with suppress(OSError):
            while data := source.recv(65536):
                while self.state == "hang":
                    time.sleep(0.05)
                if self.state == "refuse":
                    break
                if self.state == "full" and not answers:
                    source.sendall(FULL)
                    break
                if answers and self.state == "slow":
                    time.sleep(self.DELAY)
                sink.sendall(data)
        with suppress(OSError):
            sink.shutdown(socket.SHUT_RDWR)
