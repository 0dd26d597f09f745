"""What the page does when answers come late, other windows are quicker, or keys come too fast."""

import pytest
from helpers.page import hold, open_page, release, revision, speakers_view

from unspeech.corrections.log import read_log

pytest.importorskip("flask", reason="requirements-listen.txt is not installed")


def kinds(folder) -> list[str]:
    return [action["action"] for action in read_log(folder / "clusters")[0]]


def focus(browser, what: str) -> None:
    browser.value(f"document.getElementById('{what}').focus()")


def shows(browser, speaker: dict) -> None:
    """Wait until a speaker is the one that is shown."""
    browser.wait(
        "document.getElementById('speaker-size').textContent === "
        f"'{speaker['id']}, {speaker['size']} utterances'"
    )


def test_a_late_list_does_not_change_whose_speaker_is_meant(page):
    browser, client, _, folder = page
    speakers_view(browser)
    first, second = client.get("api/speakers")["items"][:2]
    hold(browser, f"speaker={second['id']}")
    focus(browser, "speaker-list")
    for key in ("ArrowDown", "x", "ArrowUp"):
        browser.press(key)
    shows(browser, first)
    release(browser, 1)
    shows(browser, first)
    browser.press("m")
    revision(browser, 1)
    assert client.get("api/speakers")["items"][0]["size"] == first["size"] + second["size"]
    assert client.get("api/speakers")["items"][0]["id"] == first["id"]
    assert kinds(folder) == ["merge"]
    assert browser.errors == []


def test_a_late_state_is_no_news(page):
    browser, _, _, folder = page
    speakers_view(browser)
    hold(browser, "api/state")
    browser.wait("held.length === 1")  # asked for every three seconds
    browser.value("void (window.holds = () => false)")
    focus(browser, "speaker-list")
    browser.press("l")
    revision(browser, 1)
    release(browser, 1)
    revision(browser, 1)
    browser.press("u")
    revision(browser, 2)
    assert kinds(folder) == ["lock", "undo"]
    assert browser.errors == []


def test_keys_that_follow_quickly_are_all_done(page):
    browser, client, _, folder = page
    speakers_view(browser)
    before = client.get("api/speakers")["items"]
    focus(browser, "speaker-list")
    browser.press("l")
    revision(browser, 1)
    for name in ("Ada", "Eve"):
        client.command(action="name", speaker=before[0]["id"], name=name)
    revision(browser, 3)
    for key in "uuur":
        browser.press(key)
    revision(browser, 7)
    assert kinds(folder)[3:] == ["undo", "undo", "undo", "redo"]
    assert browser.errors == []


def test_a_key_that_is_held_down_answers_one_question(page):
    browser, client, _, _ = page
    browser.wait("!document.getElementById('question').hidden")
    key = {"key": "y", "text": "y", "windowsVirtualKeyCode": ord("Y")}
    browser.send("Input.dispatchKeyEvent", type="keyDown", **key)
    revision(browser, 1)
    browser.wait("!document.querySelector('#question.done')")
    for _ in range(5):
        browser.send("Input.dispatchKeyEvent", type="keyDown", autoRepeat=True, **key)
    browser.send("Input.dispatchKeyEvent", type="keyUp", **key)
    browser.value("new Promise((done) => setTimeout(done, 300))")
    assert client.get("api/state")["revision"] == 1


def test_the_same_question_says_what_has_become_of_it(page):
    browser, client, _, _ = page
    browser.wait("!document.getElementById('question').hidden")
    asked = browser.text("#voice-a .id") + browser.text("#voice-b .id")
    speaker = client.get("api/questions")["items"][0]["a"]["speaker"]
    client.command(action="name", speaker=speaker, name="Ada")
    browser.wait("document.querySelector('#voice-a .whose').textContent.startsWith('Ada: ')")
    assert browser.text("#voice-a .id") + browser.text("#voice-b .id") == asked


def test_an_answer_is_to_the_question_that_is_shown(page):
    browser, client, _, folder = page
    browser.wait("!document.getElementById('question').hidden")
    hold(browser, "api/questions")
    speaker = client.get("api/questions")["items"][0]["a"]["speaker"]
    client.command(action="name", speaker=speaker, name="Ada")
    client.get("api/questions")  # another window asks: the pair is open again
    revision(browser, 1)
    browser.press("y")  # before the page knows what is asked now
    browser.wait("!document.getElementById('message').hidden")
    assert "somebody has corrected" in browser.text("#message")
    assert kinds(folder) == ["name"]
    release(browser, 1)
    browser.wait("document.querySelector('#voice-a .whose').textContent.startsWith('Ada: ')")
    browser.press("y")
    revision(browser, 2)


def test_a_skipped_question_does_not_come_back_late(page):
    browser, client, _, _ = page
    browser.wait("!document.getElementById('question').hidden")
    both = "+".join(f"document.querySelector('#voice-{w} .id').textContent" for w in "ab")
    asked = browser.value(both)
    hold(browser, "api/questions")
    speaker = client.get("api/speakers")["items"][-1]["id"]
    client.command(action="name", speaker=speaker, name="Ada")
    revision(browser, 1)
    browser.press("k")
    release(browser, 1)
    browser.wait(f"{both} !== '{asked}'")
    browser.value("new Promise((done) => setTimeout(done, 300))")
    assert browser.value(both) != asked


def test_a_name_is_for_whom_it_was_typed(page):
    browser, client, _, folder = page
    speakers_view(browser)
    first, second = client.get("api/speakers")["items"][:2]
    browser.type("#name", "Ada")
    client.command(action="merge", speakers=[second["id"], first["id"]])
    shows(browser, {"id": second["id"], "size": first["size"] + second["size"]})
    browser.press("Enter")
    browser.wait("!document.getElementById('message').hidden")
    assert f"no speaker '{first['id']}'" in browser.text("#message")
    assert kinds(folder) == ["merge"]
    browser.wait("document.getElementById('name').value === ''")
    browser.type("#name", "Eve")
    browser.press("Enter")
    revision(browser, 2)
    assert client.get("api/speakers")["items"][0]["name"] == "Eve"


def test_who_is_not_shown_is_not_changed(page):
    browser, client, _, _ = page
    speakers_view(browser)
    browser.type("#find", "words")
    browser.wait("!document.getElementById('found-title').hidden")
    browser.value("document.activeElement.blur()")
    for key in "lsm":
        browser.press(key)
    browser.value("new Promise((done) => setTimeout(done, 300))")
    assert client.get("api/state")["revision"] == 0
    browser.type("#find", "")
    browser.press("Backspace")
    browser.wait("document.getElementById('found-title').hidden")
    focus(browser, "speaker-list")
    browser.press("l")
    revision(browser, 1)


def test_selected_speakers_that_are_gone_are_forgotten(page):
    browser, client, _, _ = page
    speakers_view(browser)
    _, second, third = client.get("api/speakers")["items"][:3]
    focus(browser, "speaker-list")
    for key in ("ArrowDown", "x", "ArrowUp"):
        browser.press(key)
    browser.wait("!document.getElementById('merge').disabled")
    client.command(action="merge", speakers=[third["id"], second["id"]])
    browser.wait("document.getElementById('merge').disabled")
    focus(browser, "speaker-list")
    for key in ("ArrowDown", "x", "ArrowUp"):
        browser.press(key)
    browser.wait("!document.getElementById('merge').disabled")
    browser.press("Escape")
    browser.wait("document.getElementById('merge').disabled")


def test_a_part_of_a_name_is_nobody_to_move_to(page):
    browser, client, _, folder = page
    speakers_view(browser)
    second = client.get("api/speakers")["items"][1]["id"]
    client.command(action="name", speaker=second, name="Joanna")
    open_page(browser, client, "speakers")
    browser.wait("document.querySelectorAll('#utterance-list .item .play').length > 0")
    focus(browser, "utterance-list")
    browser.press("x")
    browser.type("#target", "Anna")
    browser.click("#move")
    browser.wait("!document.getElementById('message').hidden")
    assert browser.text("#message") == "No speaker Anna"
    assert kinds(folder) == ["name"]
    browser.type("#target", "joanna")
    browser.click("#move")
    revision(browser, 2)
    assert kinds(folder) == ["name", "move"]


def test_the_parts_of_a_split_are_those_that_are_shown(page):
    browser, client, _, _ = page
    speakers_view(browser)
    first = client.get("api/speakers")["items"][0]
    focus(browser, "speaker-list")
    browser.press("s")
    browser.wait("document.querySelectorAll('#preview div').length === 2")
    client.command(action="move", utterances=client.members(first["id"])[:3], to=None)
    now = client.get(f"api/split?speaker={first['id']}&parts=2")["parts"]
    assert sum(part["size"] for part in now) == first["size"] - 3
    said = "+".join(
        f"document.querySelectorAll('#preview strong')[{i}].textContent" for i in range(2)
    )
    sizes = "".join(f"{i}: {part['size']} utterances" for i, part in enumerate(now, start=1))
    browser.wait(f"{said} === '{sizes}'")
