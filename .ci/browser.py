"""Drives the page by WebDriver and says what is wrong with it. Called by .ci/browser."""

import base64
import json
import sys
import time
import urllib.error
import urllib.request

PORT, URL, PROFILE, PICTURE = sys.argv[1:5]
ARGUMENTS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", f"--user-data-dir={PROFILE}",
]


def ask(method, path, body=None):
    data = None if body is None else json.dumps(body).encode()
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(f"http://127.0.0.1:{PORT}{path}", method=method, data=data, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)["value"]
    except urllib.error.HTTPError as error:
        sys.exit(f"WebDriver refused {path}: {json.load(error)['value']['message']}")


class Page:
    def __init__(self, width, height):
        options = {"args": [*ARGUMENTS, f"--window-size={width},{height}"]}
        if width < 500:  # no window is that narrow
            options["mobileEmulation"] = {"deviceMetrics": {"width": width, "height": height, "pixelRatio": 2}}
        wanted = {"browserName": "chrome", "goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}
        session = ask("POST", "/session", {"capabilities": {"alwaysMatch": wanted}})
        self.at = f"/session/{session['sessionId']}"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        ask("DELETE", self.at)

    def open(self, url):
        ask("POST", self.at + "/url", {"url": url})

    def run(self, script, *args):
        return ask("POST", self.at + "/execute/sync", {"script": script, "args": list(args)})

    def until(self, what, script, *args, patience=20):
        """Waits until the script returns something, and returns that."""
        end = time.monotonic() + patience
        while time.monotonic() < end:
            if found := self.run(script, *args):
                return found
            time.sleep(0.1)
        text = self.run("return document.body.innerText")
        sys.exit(f"not so after {patience} s: {what}\n--- the page:\n{text}")

    def click(self, label, selector):
        """A click as a hand does it: on what can be seen, and is not covered."""
        found = self.until(f"{label} has {selector}", f"{ROW} return row && row.querySelector(arguments[1])", label, selector)
        element = next(iter(found.values()))
        ask("POST", f"{self.at}/element/{element}/click", {})

    def is_silent(self):
        said = [entry["message"] for entry in ask("POST", self.at + "/se/log", {"type": "browser"})]
        if said:
            sys.exit("the console is not silent:\n" + "\n".join(said))

    def picture(self, path):
        with open(path, "wb") as file:
            file.write(base64.b64decode(ask("GET", self.at + "/screenshot")))


# The row of the server or supervisor with the id `arguments[0]`.
ROW = "const row = [...document.querySelectorAll('.row')].find((row) => row.dataset.id === arguments[0]);"


def text(page, label, selector):
    return page.run(f"{ROW} return row.querySelector(arguments[1]).textContent", label, selector)


def shows_the_tree(page):
    labels = "return [...document.querySelectorAll('.row')].filter((row) => !row.hidden).map((row) => row.dataset.id)"
    page.until("it is live", "return document.querySelector('#link').dataset.is === 'live'")
    shown = page.until("there are rows", f"const all = (() => {{ {labels} }})(); return all.length > 8 && all")
    wanted = ["shop", "stock", "checkout", "bank", "till", "printer", "kitchen", "oven", "fridge", "couriers"]
    if shown[: len(wanted)] != wanted:
        sys.exit(f"the tree is shown as {shown}")
    depth = lambda label: page.run(f"{ROW} return row.style.getPropertyValue('--depth')", label)
    if [depth(label) for label in ["shop", "stock", "bank"]] != ["0", "1", "2"]:
        sys.exit("the tree is not indented as it is")
    print("the tree is there")


def draws(page):
    line = f"{ROW} const line = row.querySelector(arguments[1]); return line && line.getAttribute('d').split('L').length > 3"
    for spark in [".rate .line", ".wait .line"]:
        page.until(f"{spark} is drawn", line, "stock", spark)
    size = page.run(f"{ROW} const box = row.querySelector('.rate svg').getBoundingClientRect(); return [box.width, box.height]", "stock")
    if min(size) < 12:
        sys.exit(f"a sparkline of {size} pixels cannot be seen")
    page.until("stock is at work", f"{ROW} return parseFloat(row.querySelector('.messages').textContent) > 0", "stock")
    print("the sparklines are drawn")


def kills(page):
    before = int(text(page, "stock", ".incarnation"))
    page.click("stock", "button.kill")
    later = f"{ROW} return Number(row.querySelector('.incarnation').textContent) > arguments[1]"
    page.until("the incarnation goes up", later, "stock", before)
    page.until("the crash is shown", f"{ROW} return !row.querySelector('.crash-line').hidden", "stock")
    print("a click on kill makes the next incarnation")


def suspends(page):
    status = f"{ROW} return row.querySelector('.status').textContent === arguments[1]"
    order = f"{ROW} return row.querySelector('button.toggle').textContent === arguments[1]"
    page.click("till", "button.toggle")
    page.until("it is suspended", status, "till", "suspended")
    page.until("it can be resumed", order, "till", "Resume")
    page.until("its queue grows", f"{ROW} return Number(row.querySelector('.queued').textContent) > 3", "till")
    page.click("till", "button.toggle")
    page.until("it runs", status, "till", "running")
    page.until("it can be suspended", order, "till", "Suspend")
    print("suspend and resume change the status")


def opens_and_folds(page):
    page.click("stock", "button.title")
    page.until("the counters are there", f"{ROW} return row.querySelectorAll('.details dd').length > 5", "stock")
    page.until("the crash is there", f"{ROW} return row.querySelector('.details pre').textContent.length > 3", "stock")
    page.click("kitchen", "button.title")
    page.until("what is below is folded", f"{ROW} return row.hidden", "oven")
    page.click("kitchen", "button.title")
    page.until("and unfolded", f"{ROW} return !row.hidden", "oven")
    print("rows open and fold")


def takes_texts_for_texts(page):
    """The oven's crash message has markup in it."""
    page.until("the oven has crashed", f"{ROW} return row.querySelector('.crash-line').textContent.includes('<b>')", "oven", patience=60)
    if page.run("return document.querySelectorAll('.crash-line b, .details pre b, main script, main img').length"):
        sys.exit("a crash message became markup")
    print("texts are texts")


def fits(page, width):
    over = page.run("return document.documentElement.scrollWidth")
    if over > width:
        sys.exit(f"the page is {over} pixels wide on a screen of {width}")
    print(f"nothing hangs over on a screen of {width} pixels")


with Page(1280, 900) as page:
    page.open(URL)
    for check in [shows_the_tree, draws, kills, suspends, opens_and_folds, takes_texts_for_texts]:
        check(page)
    fits(page, 1280)
    if PICTURE:
        page.picture(PICTURE)
    page.is_silent()

with Page(390, 844) as page:
    page.open(URL)
    shows_the_tree(page)
    draws(page)
    fits(page, 390)
    page.is_silent()
print("the console is silent")
