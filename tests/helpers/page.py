"""What tests of the page in a browser share: ways to its views, and what they show."""


def open_page(browser, client, view: str = "questions") -> None:
    browser.open("about:blank")  # another fragment alone would load nothing
    browser.open(f"http://127.0.0.1:{client.port}/{client.token}/#{view}")
    browser.wait("/corrections/.test(document.getElementById('counts').textContent)")


def speakers_view(browser) -> None:
    browser.click("#tab-speakers")
    browser.wait("document.querySelectorAll('#utterance-list .item .play').length > 0")


def rows(browser, which: str) -> list[str]:
    script = f"[...document.querySelectorAll('#{which}-list .item')].sort((a, b) => "
    script += "parseFloat(a.style.top) - parseFloat(b.style.top)).map((row) => row.textContent)"
    return browser.value(script)


def revision(browser, number: int) -> None:
    """Wait until the page says that so many corrections are done."""
    browser.wait(f"document.getElementById('counts').textContent.endsWith('corrections: {number}')")


# What the page asks for may be held back: answers overtake each other on a busy machine.
_HOLD = """(() => {
  const real = window.fetch;
  window.held = [];
  window.holds = () => false;
  window.fetch = async (path, options) => {
    const held = window.holds(String(path));
    const answer = await real(path, options);
    if (held) await new Promise((go) => window.held.push(go));
    return answer;
  };
})()"""


def hold(browser, words: str) -> None:
    """Hold back the answers to requests that are made from now on, whose paths hold some words."""
    browser.value("window.held || " + _HOLD)
    browser.value(f"void (window.holds = (path) => path.includes('{words}'))")


def release(browser, count: int) -> None:
    """Let the answers go, which must be so many, and hold none any more."""
    browser.wait(f"held.length === {count}")
    browser.value("void (window.holds = () => false, window.held.splice(0).forEach((go) => go()))")
    browser.value("new Promise((done) => setTimeout(done, 50))")
