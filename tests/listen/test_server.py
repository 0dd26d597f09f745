"""The page's server: who is answered, and commands that are never lost."""

import json
import signal
import socket
import sys
import time

import numpy as np
import pytest
from helpers.listen import correct, make_corpus, serving
from helpers.shell import STEPS, run

from unspeech.corrections.log import read_log
from unspeech.kaldi.tables import read_table, write_table

pytest.importorskip("flask", reason="requirements-listen.txt is not installed")


def test_only_the_secret_address_is_answered(client):
    for path in ("/", "/api/state", f"/{client.token[:-1]}/", f"/{client.token}x/api/state",
                 "/favicon.ico"):  # fmt: skip
        status, _, content = client.raw("GET", path)
        assert status == 403, path
        assert client.token.encode() not in content
    status, headers, content = client.request("GET", "")
    assert status == 200
    assert b"<title>" in content
    assert headers["Referrer-Policy"] == "no-referrer"
    assert "default-src 'none'" in headers["Content-Security-Policy"]


def test_other_hosts_and_origins_are_refused(client):
    here = f"127.0.0.1:{client.port}"
    for headers in ({"Host": "evil.example"}, {"Host": f"evil.example:{client.port}"},
                    {"Origin": "http://evil.example"}, {"Origin": "null"},
                    {"Origin": f"https://{here}"}):  # fmt: skip
        assert client.request("GET", "api/state", **headers)[0] == 403, headers
    assert client.request("GET", "api/state", Origin=f"http://{here}")[0] == 200
    undo = {"revision": 0, "action": "undo"}
    status, _, _ = client.request("POST", "api/command", undo, Sec_Fetch_Site="cross-site")
    assert status == 403
    # A form of another page cannot send JSON.
    body = json.dumps(undo)
    status, _, _ = client.request("POST", "api/command", body, Content_Type="text/plain")
    assert status == 415


def test_it_listens_to_this_machine_alone(client):
    others = {item[4][0] for item in socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)}
    for address in others - {"127.0.0.1"}:
        with pytest.raises(OSError, match=r"refused|timed out|unreachable"):
            socket.create_connection((address, client.port), timeout=1)


OUTSIDE = (
    "static/../server.py", "static/..%2fserver.py", "static/%2e%2e/server.py",
    "static//etc/passwd", "static/..%5cserver.py", "../../../etc/passwd",
    "audio?utterance=../audio/together.wav", "audio?utterance=/etc/passwd",
    "audio?utterance=..%2f..%2fgold", "audio?utterance=",
)  # fmt: skip


@pytest.mark.parametrize("path", OUTSIDE)
def test_nothing_outside_is_given(client, path):
    status, _, content = client.request("GET", path)
    assert status in (403, 404, 422)
    assert b"root:" not in content
    assert b"import" not in content


def test_lists_are_given_page_by_page(client, folder):
    gold = read_table(folder / "gold")
    found = client.get("api/speakers?order=size&limit=2")
    assert len(found["items"]) == 2 < found["total"]
    sizes = [item["size"] for item in client.get("api/speakers?order=size&limit=200")["items"]]
    assert sizes == sorted(sizes, reverse=True)
    assert sum(sizes) == len(gold)
    unsure = client.get("api/speakers?order=unsure&limit=200")["items"]
    chances = [item["probability"] for item in unsure]
    assert chances == sorted(chances)
    speaker = found["items"][0]["id"]
    name = client.members(speaker)[0]
    assert client.get(f"api/search?query={name.upper()}")["items"][0]["utterance"] == name
    assert client.get("api/search?query=words%20%26")["total"] == len(gold)
    assert client.get("api/search?query=nothing-like-it")["total"] == 0
    some = client.get(f"api/speakers?ids=c9,{speaker}")["items"]
    assert [(item["id"], item["first"]) for item in some] == [(speaker, name)]
    for bad in ("limit=0", "limit=201", "limit=x", "offset=-1"):
        status, _, content = client.request("GET", f"api/speakers?{bad}")
        assert (status, b"Traceback" in content) == (400, False)
    assert client.request("GET", "api/utterances?speaker=nobody")[0] == 400


BAD = (
    [], {"action": "sing"}, {}, {"action": "merge"}, {"action": "merge", "speakers": ["x"]},
    {"action": "merge", "speakers": [["x"]]}, {"action": "split", "speaker": "c00000"},
    {"action": "split", "speaker": "c00000", "parts": 1000},
    {"action": "split", "speaker": "c00000", "parts": True},
    {"action": "move", "utterances": ["x"], "to": None}, {"action": "move", "utterances": 5},
    {"action": "answer", "key": "1-2", "answer": "same"}, {"action": "answer", "key": None},
    {"action": "answer", "key": "x", "answer": "same"}, {"action": "lock", "speaker": "c00000"},
    {"action": "name", "speaker": "c00000", "name": 5}, {"action": "undo"},
)  # fmt: skip


@pytest.mark.parametrize("command", BAD, ids=str)
def test_bad_commands_change_nothing(client, folder, command):
    body = {"revision": 0, **command} if isinstance(command, dict) else command
    status, _, content = client.request("POST", "api/command", body)
    assert status == 400
    assert json.loads(content)["error"]
    assert client.get("api/state")["revision"] == 0
    assert read_log(folder / "clusters") == ([], 0)


@pytest.mark.parametrize("body", ["", "{", "\xff", "NaN", "[" * 100_000])
def test_what_is_no_json_is_refused(client, body):
    answer = client.request("POST", "api/command", body, Content_Type="application/json")
    assert answer[0] == 400
    assert b"Traceback" not in answer[2]


def test_commands_and_their_undoing(own):
    folder, client, _ = own
    before = client.get("api/speakers?limit=200")["items"]
    first, second = (item["id"] for item in before[:2])
    name = '"Ada" <b>O\'Neil</b> & 王'
    client.command(action="name", speaker=second, name=name)
    now = client.command(action="merge", speakers=[first, second])
    assert now["speakers"] == len(before) - 1
    merged = client.get("api/speakers?limit=1")["items"][0]
    assert (merged["id"], merged["name"]) == (first, name)
    log = [
        json.loads(line)
        for line in (folder / "clusters/corrections.jsonl").read_text().splitlines()
    ]
    assert sorted(log[-1]["members"]) == sorted(client.members(first))
    parts = client.get(f"api/split?speaker={first}&parts=3")["parts"]
    now = client.command(action="split", speaker=first, parts=3)
    assert now["speakers"] == len(before) + 1
    sizes = {item["id"]: item["size"] for item in client.get("api/speakers?limit=200")["items"]}
    assert sizes[first] == parts[0]["size"]
    some = client.members(first)[:2]
    client.command(action="no-speaker", utterances=some)
    assert client.get("api/search?query=-")["total"] == 2
    client.command(action="lock", speaker=first, locked=True)
    status, _, content = client.request(
        "POST", "api/command",
        {"revision": 5, "action": "move", "utterances": client.members(first)[:1], "to": None},
    )  # fmt: skip
    assert (status, b"is locked" in content) == (400, True)
    for _ in range(5):
        now = client.command(action="undo")
    assert not now["undo"]
    assert client.get("api/speakers?limit=200")["items"] == before
    for _ in range(5):
        now = client.command(action="redo")
    assert (now["nobody"], now["redo"]) == (2, False)
    assert len(read_log(folder / "clusters")[0]) == 15


def test_two_windows_do_not_overwrite_each_other(own):
    _, client, _ = own
    speaker = client.get("api/speakers")["items"][0]["id"]
    client.command(revision=0, action="name", speaker=speaker, name="Ada")
    late = {"revision": 0, "action": "name", "speaker": speaker, "name": "Bob"}
    status, _, content = client.request("POST", "api/command", late)
    assert (status, b"somebody has corrected" in content) == (409, True)
    assert client.get("api/speakers")["items"][0]["name"] == "Ada"


def test_corrections_of_another_program_are_taken_in(own):
    folder, client, _ = own
    speaker = client.get("api/speakers")["items"][0]["id"]
    member = client.members(speaker)[0]
    correct(folder / "clusters", {"action": "name", "speaker": member, "name": "Ada"})
    assert client.get("api/state")["revision"] == 1
    assert client.get("api/speakers")["items"][0]["name"] == "Ada"


def test_killed_at_any_moment_nothing_acknowledged_is_lost(tmp_path):
    make_corpus(tmp_path)
    said = 0
    for turn in range(3):
        with serving(tmp_path) as (client, process):
            assert client.get("api/state")["revision"] == said
            speaker = client.get("api/speakers")["items"][0]["id"]
            for number in range(3):
                name = f"n{turn}-{number}"
                said = client.command(action="name", speaker=speaker, name=name)["revision"]
            process.send_signal(signal.SIGKILL)
            process.wait()
        # The rest of a line that was never acknowledged.
        with (tmp_path / "clusters/corrections.jsonl").open("a") as file:
            file.write('{"revision":99,"act')
    with serving(tmp_path) as (client, _):
        assert client.get("api/state")["revision"] == said == 9
        assert client.get("api/speakers")["items"][0]["name"] == "n2-2"


def test_answers_put_the_speakers_right(own):
    folder, client, _ = own
    gold = read_table(folder / "gold")
    for _ in range(30):
        found = client.get("api/questions?count=2")
        if not found["items"]:
            break
        one = found["items"][0]
        same = gold[one["a"]["utterance"]] == gold[one["b"]["utterance"]]
        answer = "same" if same else "different"
        client.command(revision=found["revision"], action="answer", key=one["key"], answer=answer)
    speakers = [item["id"] for item in client.get("api/speakers?limit=200")["items"]]
    groups = [{gold[u] for u in client.members(speaker)} for speaker in speakers]
    assert sorted(map(len, groups)) == [1] * 6
    sample = client.get("api/questions?sample=1&count=3")["items"]
    assert sample == client.get("api/questions?sample=1&count=3")["items"]
    one = client.get("api/questions")["items"][0]
    now = client.command(action="answer", key=one["key"], answer="no-speaker-a")
    assert now["nobody"] == 1


def test_the_map_and_its_lasso(own):
    _, client, _ = own
    end = time.monotonic() + 300
    while not client.get("api/state")["map"]:
        assert time.monotonic() < end
        time.sleep(0.1)
    status, _, content = client.request("GET", "api/map?left=0&top=0&right=1&bottom=1")
    assert status == 200
    count = len(content) // 16
    assert count == client.get("api/state")["utterances"]
    places = np.frombuffer(content[: 8 * count], "<f4").reshape(-1, 2)
    numbers = np.frombuffer(content[8 * count : 12 * count], "<i4")
    assert sorted(numbers) == list(range(count))
    box = [[-0.1, -0.1], [0.5, -0.1], [0.5, 1.1], [-0.1, 1.1]]
    status, _, content = client.request("POST", "api/lasso", {"polygon": box})
    found = json.loads(content)["utterances"]
    assert 0 < len(found) < count
    names = [client.get(f"api/utterance?number={n}")["utterance"] for n in numbers]
    assert set(found) == {u for u, (x, _) in zip(names, places, strict=True) if x < 0.5}
    for bad in ([], [[0, 0]], [["a", 0]] * 3, [[0, float("nan")]] * 3, "x"):
        assert client.request("POST", "api/lasso", {"polygon": bad})[0] == 400


def test_what_does_not_go_together_is_refused(tmp_path):
    make_corpus(tmp_path / "one")
    make_corpus(tmp_path / "two", seed=1)

    def refused(*words: str) -> str:
        done = run(STEPS / "listen.sh", *words, cwd=tmp_path)
        lines = done.stderr.strip().splitlines()
        assert (done.returncode, len(lines)) == (1, 1), done.stderr
        assert lines[0].startswith("ERROR: ")
        return lines[0]

    assert "was not made from" in refused("one/data", "two/emb", "one/clusters")
    write_table(tmp_path / "one/data/segments", {"u000-00": "together 0 1"})
    assert "no audio of utterance" in refused("one/data", "one/emb", "one/clusters")
    assert "no such file" in refused("one/data", "one/emb", "three")
    with (tmp_path / "two/clusters/corrections.jsonl").open("w") as file:
        file.write("nonsense\n")
    assert "corrections.jsonl:1" in refused("two/data", "two/emb", "two/clusters")


def test_a_clustering_made_again_meanwhile_is_noticed(own):
    folder, client, _ = own
    summary = folder / "clusters/clusters.json"
    summary.with_suffix(".new").write_text(summary.read_text())
    summary.with_suffix(".new").replace(summary)
    status, _, content = client.request("GET", "api/state")
    assert (status, b"was clustered again" in content) == (422, True)


def test_without_flask_it_says_what_to_install(tmp_path):
    make_corpus(tmp_path)
    script = "import sys; sys.modules['flask'] = None\n"
    script += "import runpy; runpy.run_module('unspeech.listen', run_name='__main__')"
    options = ["--data", "data", "--embeddings", "emb", "--clusters", "clusters"]
    paths = str(STEPS.parent / "python")
    done = run(sys.executable, "-c", script, *options, cwd=tmp_path, PYTHONPATH=paths)
    assert done.returncode == 1
    assert "requirements-listen.txt" in done.stderr.strip().splitlines()[-1]
