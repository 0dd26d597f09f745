"""Hear a corpus's speakers on a page of this machine, and correct them.

    python3 -m unspeech.listen --data data/dev --embeddings exp/embeddings_dev \\
        --clusters exp/clusters_dev

Prints the page's address, which is a secret, and serves it until it is ended. Every correction is a
line of `corrections.jsonl` in the clusters directory before the page says that it is done.
"""

import secrets
import sys
import threading
from pathlib import Path

from unspeech.cli.errors import UnspeechError, run_program
from unspeech.cli.limits import Number
from unspeech.cli.options import OptionParser


def main() -> None:
    parser = OptionParser(__doc__)
    parser.add_argument("--data", required=True, type=Path, help="data directory with audio")
    parser.add_argument(
        "--embeddings", required=True, help="what was clustered: directory, scp or ark of vectors"
    )
    parser.add_argument("--clusters", required=True, type=Path, help="clusters directory")
    parser.add_argument(
        "--port", type=Number(int, "[0, 65535]"), default=0, help="of this machine; 0: a free one"
    )
    options = parser.parse_args()
    try:
        from unspeech.listen.server import HOST, make_app, make_listener
    except ModuleNotFoundError as error:
        raise UnspeechError(
            f"{sys.executable} has no {error.name}: install what the page needs, by "
            "pip install -r requirements-listen.txt -c requirements-lock.txt"
        ) from None
    from unspeech.listen.corpus import Corpus
    from unspeech.listen.map import Map
    from unspeech.listen.session import Session

    session = Session(Corpus(options.data, options.embeddings, options.clusters))
    places = Map(session.corpus.vectors, options.clusters / "map.npy")
    token = secrets.token_urlsafe(24)
    try:
        listener = make_listener(make_app(session, places, token), options.port)
    except (OSError, SystemExit):  # Werkzeug has printed why
        raise UnspeechError(f"--port {options.port}: taken, or not allowed; give another") from None
    print(f"Listening at http://{HOST}:{listener.port}/{token}/", flush=True)
    print("Control-C ends it; nothing is lost.", flush=True)

    def prepare() -> None:
        try:
            session.prepare()
        finally:
            places.make()

    threading.Thread(target=prepare, daemon=True).start()
    try:
        listener.serve_forever()
    except KeyboardInterrupt:
        pass
    finally:
        listener.server_close()


if __name__ == "__main__":
    run_program(main)
