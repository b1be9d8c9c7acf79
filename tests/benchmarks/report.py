"""The HTML report in headless Chromium: how fast 10,000 leaves are drawn and filtered, and images for docs.

    python -m tests.benchmarks.report [--pictures]

Measures pages that the command line made of real checkpoints, and writes the figures into docs/report.md; with
`--pictures`, the images in docs/images too.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

import numpy as np
from safetensors.numpy import save_file

from tests.report.browser import chromium

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "report.md"
IMAGES = ROOT / "docs" / "images"
LAYERS, EXPERTS, RUNS = 100, 32, 5
RULES = """migrate: 1
rules:
  - "params/layer_{i}/attention/{name}/kernel -> model/blocks/{i}/attn/{name}"
  - {from: "params/layer_{i}/expert_{e}/{name}/kernel", to: "model/blocks/{i}/experts/{e}/{name}", ops: [transpose]}
  - drop: "params/head/**"
"""
SMALL_RULES = """migrate: 1
rules:
  - "layer_{i}/attention/{name} -> blocks/{i}/attn/{name}"
  - {from: "layer_{i}/mlp/up", to: "blocks/{i}/mlp/up", ops: [transpose]}
  - {from: embed, to: embed, ops: [{cast: {to: bfloat16, lossy: true}}]}
  - drop: head
"""
TERMS = ("layer_42", "expert_7 up", "kernel", "attention query", "nowhere", "")
AT_READY = """
new MutationObserver(() => requestAnimationFrame(() => requestAnimationFrame(() => {
  window.readyAt ??= performance.now();
}))).observe(document, {attributes: true, subtree: true, attributeFilter: ["data-ready"]});
"""
FILTER = """
const [term, done] = arguments;
const search = document.getElementById("search");
const start = performance.now();
search.value = term;
search.dispatchEvent(new Event("input"));
requestAnimationFrame(() => { const channel = new MessageChannel();
  channel.port1.onmessage = () => done(performance.now() - start); channel.port2.postMessage(0); });
"""
SOON = "setTimeout(arguments[0], 500)"  # the treemap is drawn after the trees
FRAME = "requestAnimationFrame(() => requestAnimationFrame(arguments[0]))"
VALUES = "document.querySelector('#details .histograms')?.scrollIntoView({block: 'end'})"
ROW = "[...document.querySelectorAll('#tree0 .name')].find((one) => one.textContent === arguments[0]).click()"


def large_checkpoints(folder):
    """Writes two checkpoints of 10,000 leaves that differ in names and axes, and the rule file between them."""
    values = np.random.default_rng(0).normal(size=(LAYERS, EXPERTS + 4, 3, 4, 8)).astype(np.float32)
    old, new = {"params/head/bias": values[0, 0, 0]}, {"model/head": values[0, 0, 0]}
    for layer in range(LAYERS):
        at, into = f"params/layer_{layer}", f"model/blocks/{layer}"
        for number, name in enumerate(("query", "key", "value", "out")):
            kernel = values[layer, EXPERTS + number, 0]
            old[f"{at}/attention/{name}/kernel"] = new[f"{into}/attn/{name}"] = kernel
        for expert in range(EXPERTS):
            for number, name in enumerate(("up", "gate", "down")):
                kernel = values[layer, expert, number]
                old[f"{at}/expert_{expert}/{name}/kernel"] = kernel
                new[f"{into}/experts/{expert}/{name}"] = kernel.T.copy()
    save_file(old, folder / "old.safetensors")
    save_file({**dict(list(old.items())[: len(old) // 2]), **new}, folder / "new.safetensors")
    (folder / "rules.yaml").write_text(RULES)


def small_checkpoints(folder):
    """Writes two checkpoints of 10 leaves, and a rule file."""
    square, wide = np.zeros((64, 64), np.float32), np.zeros((64, 256), np.float32)
    embed = np.random.default_rng(0).normal(0, 0.02, (512, 64)).astype(np.float32)
    old = {"embed": embed, "head": np.zeros((64, 512), np.float32)}
    for layer in range(2):
        old |= {f"layer_{layer}/attention/{name}": square for name in ("query", "key", "value")}
        old[f"layer_{layer}/mlp/up"] = wide
    new = {name.replace("layer_1", "layer_2"): value for name, value in old.items()}
    save_file(old, folder / "old-10.safetensors")
    save_file({**new, "layer_0/mlp/up": wide.T.copy()}, folder / "new-10.safetensors")
    (folder / "rules-10.yaml").write_text(SMALL_RULES)


def make_pages(folder):
    """Writes the pages: `plan`, `run`, `diff` and `inspect`, of 10 and of 10,000 leaves."""
    large_checkpoints(folder)
    small_checkpoints(folder)
    for end in ("", "-10"):
        old, new, out = (f"{name}{end}.safetensors" for name in ("old", "new", "out"))
        migrate(folder, "apply", f"rules{end}.yaml", old, out, "--dry-run", page=f"plan{end}.html")
        migrate(folder, "apply", f"rules{end}.yaml", old, out, page=f"run{end}.html")
        migrate(folder, "diff", old, new, page=f"diff{end}.html")
        migrate(folder, "inspect", old, page=f"inspect{end}.html")


def migrate(folder, *words, page):
    """Runs a command that writes a page; exit code 1 is the answer no."""
    command = [sys.executable, "-m", "migrate", *words, "--quiet", "--report", page]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode in (0, 1), done.stderr
    assert (folder / page).exists(), done.stderr


def measure(browser, page):
    """Milliseconds to the first paint, until the trees are drawn, and of the slowest filter: the times of each run."""
    paints, ready, filters = [], [], {term: [] for term in TERMS}
    for _ in range(RUNS):
        browser.get(page.as_uri())
        browser.execute_async_script(SOON)
        script = "return [performance.getEntriesByName('first-contentful-paint')[0].startTime, window.readyAt]"
        first, drawn = browser.execute_script(script)
        paints.append(first)
        ready.append(drawn)
        for term, times in filters.items():
            times.append(browser.execute_async_script(FILTER, term))
            browser.execute_async_script(SOON)
    return paints, ready, max(filters.values(), key=median)


def shown(times):
    """The median, and the fastest run, which other programs disturbed least."""
    return f"{median(times):.0f} ({min(times):.0f})"


def figures(folder):
    """The table of figures in Markdown."""
    lines = ["| page of 10,000 leaves | file, MB | first paint, ms | trees drawn, ms | slowest filter, ms |"]
    lines += ["|---|---|---|---|---|"]
    with chromium() as browser:
        browser.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": AT_READY})
        for name in ("plan", "run", "diff", "inspect"):
            page = folder / f"{name}.html"
            took = measure(browser, page)
            lines.append(f"| {name} | {page.stat().st_size / 1e6:.1f} | {' | '.join(map(shown, took))} |")
    load = os.getloadavg()[0]
    lines += ["", f"Other programs ran at the same time: the load average was {load:.0f} on {os.cpu_count()} cores."]
    return "\n".join(lines)


PICTURES = {
    "plan-light": ("plan-10", "light", "up"),
    "plan-dark": ("plan-10", "dark", "up"),
    "plan-10000-light": ("plan", "light", None),
    "values-light": ("run-10", "light", "embed"),
    "values-dark": ("run-10", "dark", "embed"),
    "diff-light": ("diff-10", "light", "up"),
    "diff-10000-dark": ("diff", "dark", None),
    "inspect-10000-dark": ("inspect", "dark", None),
}
"""Of each image: the page, the theme, and the name of a leaf that is selected."""


def take_pictures(folder):
    """Writes the images of the documentation."""
    IMAGES.mkdir(exist_ok=True)
    with chromium(1200, 840) as browser:
        for name, (page, theme, leaf) in PICTURES.items():
            browser.execute_cdp_cmd(
                "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": theme}]}
            )
            browser.get((folder / f"{page}.html").as_uri())
            browser.execute_async_script(FRAME)
            if leaf:
                browser.execute_script(ROW, leaf)
                browser.execute_script("document.querySelector('.below').scrollIntoView({block: 'end'})")
                browser.execute_script(VALUES)
            browser.execute_async_script(SOON)
            browser.save_screenshot(str(IMAGES / f"report-{name}.png"))


def write(table):
    """Replaces the table between the two comments of the page."""
    text = PAGE.read_text()
    marked = re.compile(r"(<!-- figures -->\n).*?(<!-- end of figures -->)", re.S)
    assert marked.search(text)
    PAGE.write_text(marked.sub(lambda found: f"{found[1]}\n{table}\n\n{found[2]}", text))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pictures", action="store_true", help="also take the images of the documentation")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_pages(folder)
        table = figures(folder)
        print(table)
        write(table)
        if options.pictures:
            take_pictures(folder)


if __name__ == "__main__":
    main()
