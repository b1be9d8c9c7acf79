// Joins the parts: filters and search, what is pointed at, what is selected.

const MOST_ROWS = 150;

class App {
  constructor() {
    this.isShown = new Uint8Array(links.length).fill(1);
    this.hot = new Set();
    this.selected = null;
    this.texts = links.map((link) => [...link.from.map((leaf) => trees[0].leaves[leaf].text), ...(trees[1] ? link.to.map((leaf) => trees[1].leaves[leaf].text) : [])].join("\n").toLowerCase());
    this.panes = trees.map((tree) => new Pane(tree, this));
    this.ribbons = trees.length > 1 ? new Ribbons(this.panes, this) : null;
    this.treemap = new Treemap(trees.at(-1), this);
    this.details = new Details(this);
    this.search = document.getElementById("search");
    this.search.addEventListener("input", () => this.filter());
    document.addEventListener("keydown", (event) => {
      if (event.key === "/" && event.target !== this.search) { event.preventDefault(); this.search.focus(); }
    });
    this.makeFilters();
    document.getElementById("expand").addEventListener("click", () => this.openAll(true));
    document.getElementById("collapse").addEventListener("click", () => this.openAll(false));
    document.getElementById("theme").addEventListener("click", () => this.changeTheme());
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.treemap.draw());
    window.addEventListener("resize", () => { this.draw(); this.treemap.draw(); });
    this.filter();
    document.documentElement.dataset.ready = "yes";
  }

  makeFilters() {
    this.boxes = [];
    for (const [name, texts] of [["kind", picture.labels], ["proof", PROOFS]]) {
      const used = Object.keys(texts).map((key) => [key, links.filter((link) => link[name] === key).length]).filter(([, count]) => count);
      const made = used.length > 1 ? used.map(([key, count]) => this.box(name, key, count, texts[key])) : [];
      const group = document.getElementById(`filter-${name}`);
      group.append(...made);
      group.hidden = made.length === 0;
    }
  }

  box(name, key, count, text) {
    const input = element("input", { type: "checkbox", checked: "" });
    input.addEventListener("change", () => this.filter());
    this.boxes.push({ name, key, input });
    const mark = name === "kind" ? element("span", { class: `mark ${key}`, "aria-hidden": "true" }, MARKS[key]) : "";
    return element("label", {}, input, mark, ` ${text.split(":")[0]} (${count.toLocaleString("en")})`);
  }

  filter() {
    const terms = this.search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const off = this.boxes.filter(({ input }) => !input.checked);
    let shown = 0;
    for (const link of links) {
      const hidden = off.some(({ name, key }) => link[name] === key) || !terms.every((term) => this.texts[link.index].includes(term));
      this.isShown[link.index] = hidden ? 0 : 1;
      shown += hidden ? 0 : 1;
    }
    for (const tree of trees) {
      tree.filter((leaf) => leaf.links.some((link) => this.isShown[link.index]));
      tree.openUpTo(terms.length ? 2 * MOST_ROWS : MOST_ROWS);
    }
    document.getElementById("count").textContent = `${shown.toLocaleString("en")} of ${links.length.toLocaleString("en")} shown`;
    this.refresh();
    this.drawTreemap();
  }

  // Draws the treemap after the trees have been shown, and once while keys are typed.
  drawTreemap() {
    clearTimeout(this.later);
    this.later = setTimeout(() => requestAnimationFrame(() => setTimeout(() => this.treemap.draw())), 50);
  }

  openAll(open) {
    for (const tree of trees) {
      if (open) { const walk = (node) => { node.open = node.children.size > 0; node.children.forEach(walk); }; walk(tree.root); }
      else tree.openUpTo(MOST_ROWS);
    }
    this.refresh();
  }

  refresh() {
    for (const pane of this.panes) pane.refresh();
    this.draw();
  }

  // Draws once before the next frame, however often it is called.
  draw() {
    this.pending ??= requestAnimationFrame(() => {
      this.pending = null;
      for (const pane of this.panes) pane.draw();
      this.ribbons?.draw();
    });
  }

  point(pointed) {
    const next = new Set(pointed.map((link) => link.index));
    if (next.size === this.hot.size && [...next].every((index) => this.hot.has(index))) return;
    this.hot = next;
    document.getElementById("trees").classList.toggle("pointing", next.size > 0);
    this.draw();
  }

  select(leaf, side) {
    const link = leaf.links[0];
    this.selected = { leaf };
    for (const pane of this.panes) {
      const ends = link && pane.tree.side !== side ? link[pane.tree.end] : [leaf.index];
      if (ends.length && (link || pane.tree.side === side)) pane.reveal(pane.tree.leaves[ends[0]]);
    }
    if (link) { this.details.show(link, leaf); this.point([link]); }
    this.draw();
  }

  selectLink(link) {
    const side = link.from.length ? 0 : 1;
    this.select(trees[side].leaves[link[side ? "to" : "from"][0]], side);
  }

  changeTheme() {
    const root = document.documentElement;
    const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
    this.treemap.draw();
  }
}

new App();
