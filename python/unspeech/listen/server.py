"""The page's web server, for this machine alone.

In: requests under a secret address.
Out: the page, what it shows as JSON, sound as WAV, and commands that are written at once.
"""

import secrets
from collections.abc import Callable

import numpy as np
from flask import Blueprint, Flask, Response, abort, jsonify, request, send_file
from werkzeug.exceptions import HTTPException
from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server

from unspeech.cli.errors import UnspeechError
from unspeech.corrections.actions import CorrectionError
from unspeech.corrections.log import OutdatedError
from unspeech.listen.lists import ORDERS
from unspeech.listen.map import Map
from unspeech.listen.session import MOST, Session

HOST = "127.0.0.1"
PAGE = 200  # items of a list that the page gets at once, at most
POINTS = 20_000  # of the map
LARGEST = 16 << 20  # bytes of a request
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "media-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "Referrer-Policy": "no-referrer",  # the address is a secret
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}


def make_app(session: Session, places: Map, token: str) -> Flask:
    """The page's server as an application of WSGI.

    Args:
        token: what all addresses begin with; nothing is answered without it.
    """
    app = Flask(__name__, static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = LARGEST
    app.url_map.merge_slashes = False  # no redirections
    pages = Blueprint("page", __name__, static_folder="page", static_url_path="/static")
    app.before_request(lambda: _check(token))
    app.after_request(_add_headers)
    app.register_error_handler(Exception, _answer_error)

    @pages.get("/")
    def page() -> Response:
        return pages.send_static_file("index.html")

    @pages.get("/audio")
    def audio() -> Response:
        utterance = request.args.get("utterance", "")
        sound = session.corpus.sound(utterance)
        answer = send_file(sound, "audio/wav", conditional=True, etag=False, max_age=3600)
        answer.headers["Accept-Ranges"] = "bytes"
        return answer

    def get(path: str) -> Callable:
        return pages.get(f"/api/{path}")

    @get("state")
    def state() -> Response:
        return jsonify({**session.state(), "map": places.ready()})

    @get("speakers")
    def speakers() -> Response:
        order = request.args.get("order", ORDERS[0])
        if order not in ORDERS:
            abort(400, f"order is {', '.join(ORDERS)}")
        ids = request.args.get("ids", "")
        ids = ids.split(",") if ids else ()
        query = request.args.get("query", "")
        return jsonify(session.list_speakers(order, *_page(), query, ids))

    @get("utterances")
    def utterances() -> Response:
        unsure = request.args.get("order") == "unsure"
        speaker = request.args.get("speaker", "")
        return jsonify(session.list_utterances(speaker, *_page(), unsure))

    @get("search")
    def search() -> Response:
        return jsonify(session.search(request.args.get("query", ""), *_page()))

    @get("typical")
    def typical() -> Response:
        return jsonify(session.typical(request.args.get("speaker", "")))

    @get("split")
    def split() -> Response:
        parts = _number("parts", 2, 1, 1000)
        return jsonify(session.preview(request.args.get("speaker", ""), parts, 3))

    @get("questions")
    def questions() -> Response:
        without = request.args.get("without", "")
        if without.strip("0123456789-,"):
            abort(400, "without takes keys of questions")
        keys = [key for key in without.split(",") if key.count("-") == 1 and key[-1:].isdigit()]
        sample = _number("sample", -1, 0, 2**31) if "sample" in request.args else None
        return jsonify(session.questions(_number("count", 1, 1, 50), keys, sample))

    @get("map")
    def points() -> Response:
        if not places.ready():
            return jsonify({"ready": False})
        window = [_real(name) for name in ("left", "top", "right", "bottom")]
        found, numbers = places.within(*window, _number("most", 5000, 1, POINTS))
        labels = session.speakers.labels[numbers].astype("<i4")
        content = found.astype("<f4").tobytes() + numbers.astype("<i4").tobytes() + labels.tobytes()
        return Response(content, mimetype="application/octet-stream")

    @get("utterance")
    def utterance() -> Response:
        count = len(session.speakers.utterances)
        return jsonify(session.utterance(_number("number", 0, 0, count - 1)))

    @pages.post("/api/lasso")
    def lasso() -> Response:
        try:
            polygon = np.array(_json()["polygon"], float).reshape(-1, 2)
        except (KeyError, ValueError, TypeError):
            abort(400, "a polygon is a list of points")
        if not places.ready() or not 3 <= len(polygon) <= 10_000 or not np.isfinite(polygon).all():
            abort(400, "a polygon has three corners or more")
        found = places.inside(polygon)
        names = session.speakers.utterances
        some = [names[i] for i in found[:MOST].tolist()]
        return jsonify({"total": len(found), "utterances": some})

    @pages.post("/api/command")
    def command() -> Response:
        return jsonify(session.command(_json()))

    app.register_blueprint(pages, url_prefix=f"/{token}")
    return app


def _check(token: str) -> None:
    """Refuse what does not come from this server's own page.

    The host is compared so that no other site can stand behind a name for this machine, and the
    origin so that no other page sends commands.
    """
    port = request.environ["SERVER_PORT"]
    hosts = {f"{HOST}:{port}", f"localhost:{port}"}
    if request.host not in hosts:
        abort(403, "this server is for this machine alone")
    first = request.path.split("/")[1]
    if not secrets.compare_digest(first.encode(), token.encode()):
        abort(403, "use the address that listen.sh printed")
    origin = request.headers.get("Origin")
    site = request.headers.get("Sec-Fetch-Site", "same-origin")
    if (origin and origin not in {f"http://{host}" for host in hosts}) or (
        request.method == "POST" and site not in ("same-origin", "none")
    ):
        abort(403, "requests of other pages are not answered")


def _add_headers(response: Response) -> Response:
    response.headers.update(HEADERS)
    if "max-age" not in response.headers.get("Cache-Control", ""):
        response.headers["Cache-Control"] = "no-store"
    return response


def _answer_error(error: Exception) -> tuple[Response, int]:
    if isinstance(error, OutdatedError):
        return jsonify(error="somebody has corrected something since; the page is new now"), 409
    if isinstance(error, CorrectionError):
        return jsonify(error=str(error)), 400
    if isinstance(error, UnspeechError):
        return jsonify(error=str(error)), 422
    if isinstance(error, HTTPException):
        return jsonify(error=error.description), error.code
    if isinstance(error, OSError):
        return jsonify(error=f"{error.strerror or error}; nothing was changed"), 507
    raise error


def _json() -> dict:
    try:
        content = request.get_json()
    except RecursionError:
        abort(400, "an object is expected")
    if not isinstance(content, dict):
        abort(400, "an object is expected")
    return content


def _number(name: str, default: int, least: int, most: int) -> int:
    try:
        value = int(request.args.get(name, default))
    except ValueError:
        abort(400, f"{name} is an integer")
    if not least <= value <= most:
        abort(400, f"{name} lies between {least} and {most}")
    return value


def _real(name: str) -> float:
    try:
        return float(request.args.get(name, ""))
    except ValueError:
        abort(400, f"{name} is a number")


def _page() -> tuple[int, int]:
    return _number("offset", 0, 0, 2**31), _number("limit", 50, 1, PAGE)


class _Handler(WSGIRequestHandler):
    """Connections that stay open, and no line for every request."""

    protocol_version = "HTTP/1.1"

    def log_request(self, *_) -> None:
        pass


def make_listener(app: Flask, port: int) -> BaseWSGIServer:
    """A server of this machine's own address, a thread a request.

    Args:
        port: 0 for any that is free.
    """
    return make_server(HOST, port, app, threaded=True, request_handler=_Handler)
