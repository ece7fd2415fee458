"""Answers of Image Search in shapes that the vendor's SDK takes for good: `{}`, no body, lists, texts, numbers."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from imgprep.cloud.imagesearch import AnswerLost, ImageSearch
from imgprep.core.credentials import Credentials, StaticCredentials
from imgprep.core.errors import ConfigError
from imgprep.core.settings import Settings

SHAPES = [
    b"{}",
    b"null",
    b"[]",
    b'"ok"',
    b"7",
    b'{"Data": []}',
    b'{"Data": null}',
    b'{"Data": "x"}',
    b'{"Instance": []}',
]
SHAPES += [b'{"Success": true}', b'{"Success": true, "Data": {}, "Instance": {}}']


@pytest.fixture(params=SHAPES, ids=bytes.decode)
def answering(request):
    """Return settings of a server that answers everything alike."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            self.rfile.read(int(self.headers.get("content-length") or 0))
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(request.param)))
            self.end_headers()
            self.wfile.write(request.param)

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        key = StaticCredentials(Credentials("the-id", "the-secret-of-answers"))
        url = f"http://127.0.0.1:{server.server_port}"
        yield Settings(imagesearch_endpoint=url, instance="demo", bucket="b", path="/p", imagesearch_credentials=key)
        server.shutdown()


@pytest.mark.parametrize(
    "ask",
    [
        lambda service: service.detail(),
        lambda service: service.tasks(newest=1),
        lambda service: service.image_record("1", "a.jpg"),
        lambda service: service.start_task(),
        lambda service: service.start_export(),
    ],
    ids=["detail", "tasks", "exists", "start", "export"],
)
def test_an_answer_that_says_nothing_is_never_taken_for_one(answering, ask):
    with pytest.raises(AnswerLost):
        ask(ImageSearch(answering, patience=0))


def test_what_the_sdk_would_send_without_a_name_is_not_sent():
    with pytest.raises(ConfigError, match="instance"):
        ImageSearch(Settings(imagesearch_endpoint="http://127.0.0.1:9"))
