"""The page in a real browser: what is heard and done there, and what it is safe from."""

import signal

import pytest
from helpers.listen import SECONDS, serving
from helpers.page import open_page, revision, rows, speakers_view
from helpers.shell import STEPS, run

from unspeech.corrections.log import read_log
from unspeech.kaldi.tables import read_table

pytest.importorskip("flask", reason="requirements-listen.txt is not installed")
CONTROL = 2
EVIL = '"Ada" <img src=x onerror="window.hurt=1"> & \'O\'Neil\''


def test_an_utterance_is_heard(page):
    browser, client, _, _ = page
    speakers_view(browser)
    browser.click("#utterance-list .item .play")
    browser.wait("document.getElementById('audio').currentTime > 0.1")
    audio = "document.getElementById('audio')"
    assert browser.value(f"{audio}.duration") == pytest.approx(SECONDS, abs=0.01)
    assert browser.value(f"{audio}.error") is None
    browser.wait(f"{audio}.ended")
    # It can be sought in: the server gives any part.
    browser.value(f"{audio}.currentTime = 0.3")
    browser.wait(f"!{audio}.seeking && {audio}.currentTime >= 0.3")
    first = browser.text("#playing")
    assert first in {u for item in client.get("api/speakers")["items"] for u in
                     client.members(item["id"])}  # fmt: skip
    assert browser.errors == []


def test_merge_split_and_undo_by_keys(page):
    browser, client, _, folder = page
    speakers_view(browser)
    before = client.get("api/speakers")["items"]
    browser.value("document.getElementById('speaker-list').focus()")
    for key in ("ArrowDown", "x", "ArrowUp"):  # the second is selected, the first active
        browser.press(key)
    browser.wait("!document.getElementById('merge').disabled")
    browser.press("m")
    revision(browser, 1)
    merged = client.get("api/speakers")["items"]
    assert merged[0]["size"] == before[0]["size"] + before[1]["size"]
    browser.wait(f"document.querySelectorAll('#speaker-list .item').length === {len(merged)}")

    browser.value("document.getElementById('speaker-list').focus()")
    browser.press("s")
    browser.wait("document.querySelectorAll('#preview div').length === 2")
    browser.value("(() => {const slider = document.getElementById('parts'); slider.value = 3;"
                  "slider.dispatchEvent(new Event('input'))})()")  # fmt: skip
    browser.wait("document.querySelectorAll('#preview div').length === 3")
    browser.click("#do-split")
    revision(browser, 2)
    assert len(client.get("api/speakers")["items"]) == len(merged) + 2

    browser.value("document.activeElement.blur()")
    browser.press("u")
    revision(browser, 3)
    browser.press("z", CONTROL)
    revision(browser, 4)
    assert client.get("api/speakers")["items"] == before
    browser.wait("document.getElementById('undo').disabled")
    browser.press("r")
    revision(browser, 5)
    assert client.get("api/speakers")["items"] == merged
    kinds = [action["action"] for action in read_log(folder / "clusters")[0]]
    assert kinds == ["merge", "split", "undo", "undo", "redo"]
    assert browser.errors == []


def test_the_server_is_killed_and_started_again(page):
    browser, client, process, folder = page
    speakers_view(browser)
    browser.press("l")
    revision(browser, 1)
    process.send_signal(signal.SIGKILL)
    process.wait()
    browser.value("document.getElementById('speaker-list').focus()")
    browser.press("l")
    browser.wait("!document.getElementById('message').hidden")
    assert "The server has ended" in browser.text("#message")
    with serving(folder) as (again, _):
        assert again.token != client.token
        open_page(browser, again, "speakers")
        revision(browser, 1)
        browser.wait("document.getElementById('lock').textContent === 'Locked'")


def test_a_name_with_quotes_and_angle_brackets(page):
    browser, client, _, _ = page
    speakers_view(browser)
    browser.type("#name", EVIL)
    browser.press("Enter")
    revision(browser, 1)
    browser.wait("document.querySelector('#speaker-list .title').textContent.includes('<img')")
    assert client.get("api/speakers")["items"][0]["name"] == EVIL
    browser.click("#tab-questions")
    browser.wait("!document.getElementById('question').hidden")
    assert browser.value("window.hurt") is None
    assert browser.value("document.querySelectorAll('img').length") == 0
    # Words of the transcripts hold such characters, too.
    assert "words & <more> of" in browser.text("#voice-a blockquote")
    open_page(browser, client, "speakers")
    browser.wait(f"document.getElementById('name').value === {EVIL!r}")
    assert browser.errors == []


def test_questions_are_answered_by_keys_until_all_is_right(page):
    browser, client, _, folder = page
    gold = read_table(folder / "gold")
    browser.wait("!document.getElementById('question').hidden")
    browser.click("#autoplay")
    browser.value("document.activeElement.blur()")
    for number in range(1, 6):
        said = [browser.text(f"#voice-{which} .id") for which in "ab"]
        browser.press("1")
        browser.wait(f"document.getElementById('playing').textContent === '{said[0]}'")
        browser.press("y" if gold[said[0]] == gold[said[1]] else "n")
        revision(browser, number)
        both = "+".join(f"document.querySelector('#voice-{w} .id').textContent" for w in "ab")
        browser.wait(f"{both} !== '{said[0]}{said[1]}'")
    actions = read_log(folder / "clusters")[0]
    assert all(
        (gold[a["a"]] == gold[a["b"]]) == (a["action"] == "same") for a in actions
    )  # fmt: skip
    asked = browser.text("#voice-a .id") + browser.text("#voice-b .id")
    browser.press("k")
    browser.wait(f"{both} !== '{asked}'")
    assert client.get("api/state")["revision"] == 5
    assert browser.errors == []


def test_utterances_are_selected_moved_and_marked(page):
    browser, client, _, _ = page
    speakers_view(browser)
    first, second = (item["id"] for item in client.get("api/speakers")["items"][:2])
    members = client.members(first)
    browser.value("document.getElementById('utterance-list').focus()")
    for key in ("x", "ArrowDown", "x"):
        browser.press(key)
    assert browser.text("#selected") == "2 utterances"
    browser.type("#target", second)
    browser.click("#move")
    revision(browser, 1)
    assert set(members[:2]) <= set(client.members(second))
    browser.wait("document.getElementById('selection').hidden")
    left = f"'{first}, {len(members) - 2} utterances'"
    browser.wait(f"document.getElementById('speaker-size').textContent === {left}")
    browser.value("document.getElementById('utterance-list').focus()")
    browser.press("Home")
    browser.press("x")
    browser.click("#nobody")
    revision(browser, 2)
    assert client.get("api/state")["nobody"] == 1
    assert browser.errors == []


def test_two_windows(page):
    browser, client, _, _ = page
    speakers_view(browser)
    speaker = client.get("api/speakers")["items"][0]["id"]
    # The other window is quicker; this one has not heard of it yet.
    browser.value("window.setInterval = () => {}")
    client.command(action="name", speaker=speaker, name="Ada")
    browser.value("document.getElementById('speaker-list').focus()")
    browser.press("l")
    browser.wait("document.querySelector('#speaker-list .title').textContent.startsWith('Ada')")
    items = client.get("api/speakers")["items"]
    assert (items[0]["name"], client.get("api/state")["revision"] in (1, 2)) == ("Ada", True)


def test_search_and_long_lists(page):
    browser, _, _, folder = page
    speakers_view(browser)
    name = sorted(read_table(folder / "gold"))[30]
    browser.type("#find", name)
    browser.wait("document.getElementById('found-title').textContent.startsWith('1 utterances')")
    assert name in rows(browser, "utterance")[0]
    browser.type("#find", "words &")
    browser.wait("document.getElementById('found-title').textContent.startsWith('60 utterances')")
    # Only rows that are seen are in the page.
    assert len(rows(browser, "utterance")) < 40
    browser.value("document.getElementById('utterance-list').focus()")
    browser.press("End")
    last = sorted(read_table(folder / "gold"))[-1]
    browser.wait(f"document.querySelector('#utterance-list').textContent.includes('{last}')")
    assert browser.errors == []


def test_the_map_plays_and_selects(page):
    browser, _, _, _ = page
    browser.click("#tab-map")
    browser.wait("document.getElementById('map-info').textContent === '60 utterances'", 120)
    left, top, width, height = browser.value(
        "(() => {const box = document.getElementById('canvas').getBoundingClientRect();"
        "return [box.x, box.y, box.width, box.height]})()"
    )
    right, bottom = left + width - 3, top + height - 3
    corners = [(left + 3, top + 60), (right, top + 60), (right, bottom), (left + 3, bottom)]
    browser.mouse("mousePressed", *corners[0], 8)
    for x, y in corners[1:]:
        browser.mouse("mouseMoved", x, y, 8, buttons=1)
    browser.mouse("mouseReleased", *corners[-1], 8)
    browser.wait("!document.getElementById('selection').hidden")
    assert 30 <= int(browser.text("#selected").split()[0]) <= 60
    browser.press("Escape")
    browser.wait("document.getElementById('selection').hidden")
    browser.press("+")
    browser.wait("document.getElementById('map-info').textContent !== '60 utterances'")
    assert browser.errors == []


def test_all_that_can_be_used_has_a_name(page):
    browser, _, _, _ = page
    for view in ("questions", "speakers", "map"):
        browser.click(f"#tab-{view}")
        nameless = browser.value(
            "[...document.querySelectorAll('button, input, select, canvas, [role=listbox]')]"
            ".filter((e) => e.offsetParent && !e.textContent.trim() && !e.ariaLabel && "
            "!(e.labels && e.labels.length)).map((e) => e.outerHTML.slice(0, 80))"
        )
        assert nameless == []
    browser.press("?")
    browser.wait("document.getElementById('keys').open")
    browser.press("Escape")


def test_without_the_token_there_is_no_page(page):
    browser, client, _, _ = page
    browser.open(f"http://127.0.0.1:{client.port}/")
    assert "use the address that listen.sh printed" in browser.value("document.body.textContent")


def test_the_step_says_what_it_wants():
    done = run(STEPS / "listen.sh")
    assert done.returncode == 1
    assert "Usage: steps_unspeech/listen.sh" in done.stderr
