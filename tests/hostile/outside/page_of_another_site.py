"""A page in a browser on the machine of `course serve` whose name leads there now, and one that sends from elsewhere.

The first could read what everybody is told, the second have the engine work for it.
"""

from types import SimpleNamespace

from starlette.testclient import TestClient

from course.server.app import ApiServer
from course.server.limits import Limits

ASKED = ["/", "/health", "/metrics", "/trace", "/v1/models"]


def attack(folder):
    model = SimpleNamespace(name="waiter", capacity=64)
    server = ApiServer(SimpleNamespace(failure="", failures=0), model, Limits.at("127.0.0.1"))
    client = TestClient(server, raise_server_exceptions=False)
    for path in ASKED:
        for host in (
            "kitchen.example",
            "kitchen.example:8000",
            "127.0.0.1.kitchen.example",
            "localhost@kitchen.example",
        ):
            if client.get(path, headers={"host": host}).status_code != 403:
                yield f"{path} is shown to a page of {host}"
    for origin in ("https://kitchen.example", "null", "http://localhost.kitchen.example"):
        sent = client.post(
            "/v1/completions", headers={"host": "127.0.0.1:8000", "origin": origin}, content=b"{}"
        )
        if sent.status_code != 403:
            yield f"a page of {origin} is served"
    for host in ("127.0.0.1:8000", "localhost", "[::1]:8000"):
        if (
            client.get("/v1/models", headers={"host": host, "origin": f"http://{host}"}).status_code
            != 200
        ):
            yield f"whoever calls the server {host} is turned away"
