// One tree in a scrolling pane. Only the rows in view are in the document.

const ROW = 24;
const MARKS = { kept: "●", renamed: "▶", restructured: "◆", computed: "✳", cast: "◐", created: "✚", dropped: "✕", changed: "≠" };

class Pane {
  constructor(tree, app) {
    this.tree = tree;
    this.app = app;
    this.active = null;
    this.box = document.getElementById(`tree${tree.side}`);
    this.body = element("div", { class: "rows" });
    this.box.append(this.body);
    this.box.addEventListener("scroll", () => app.draw());
    this.box.addEventListener("keydown", (event) => this.key(event));
    this.box.addEventListener("focus", () => { this.active ??= this.rows[0] ?? null; app.draw(); });
    this.body.addEventListener("pointerover", (event) => app.point(this.linksOf(this.at(event))));
    this.body.addEventListener("pointerleave", () => app.point([]));
    this.body.addEventListener("click", (event) => this.click(event));
  }

  refresh() {
    Object.assign(this, this.tree.rows());
    this.body.style.height = `${this.rows.length * ROW}px`;
    if (this.active && !this.rows.includes(this.active)) this.active = null;
  }

  at(event) {
    const row = event.target.closest("[data-row]");
    return row ? this.rows[Number(row.dataset.row)] : null;
  }

  linksOf(node) {
    if (!node) return [];
    const leaves = node.open ? (node.leaf ? [node.leaf] : []) : leavesBelow(node);
    return leaves.flatMap((leaf) => leaf.links);
  }

  click(event) {
    const node = this.at(event);
    if (!node) return;
    this.active = node;
    if (event.target.closest(".twist") || !node.leaf) this.toggle(node);
    if (node.leaf) this.app.select(node.leaf, this.tree.side);
    else this.app.draw();
  }

  toggle(node, open = !node.open) {
    if (!node.children.size || node.open === open) return;
    node.open = open;
    this.app.refresh();
  }

  key(event) {
    const at = this.rows.indexOf(this.active);
    const page = Math.max(1, Math.floor(this.box.clientHeight / ROW) - 1);
    const moves = { ArrowDown: at + 1, ArrowUp: at - 1, PageDown: at + page, PageUp: at - page, Home: 0, End: this.rows.length - 1 };
    const node = this.active;
    if (event.key in moves) this.go(moves[event.key]);
    else if (event.key === "ArrowRight" && node) node.children.size && !node.open ? this.toggle(node, true) : this.go(at + 1);
    else if (event.key === "ArrowLeft" && node) node.open ? this.toggle(node, false) : this.go(this.rows.indexOf(node.parent));
    else if ((event.key === "Enter" || event.key === " ") && node) node.leaf ? this.app.select(node.leaf, this.tree.side) : this.toggle(node);
    else return;
    event.preventDefault();
  }

  go(row) {
    this.active = this.rows[Math.min(Math.max(row, 0), this.rows.length - 1)] ?? null;
    if (this.active) this.scrollTo(this.rows.indexOf(this.active));
    this.app.point(this.linksOf(this.active));
  }

  scrollTo(row) {
    const top = row * ROW;
    const { scrollTop, clientHeight } = this.box;
    if (top < scrollTop) this.box.scrollTop = top;
    else if (top + ROW > scrollTop + clientHeight) this.box.scrollTop = top + ROW - clientHeight;
  }

  // Opens every node above a leaf, and scrolls to it.
  reveal(leaf) {
    for (let node = leaf.node.parent; node; node = node.parent) node.open = true;
    this.app.refresh();
    const row = this.rowOf[leaf.index];
    if (row < 0) return;
    this.active = this.rows[row];
    this.box.scrollTop = Math.max(0, row * ROW - this.box.clientHeight / 2);
  }

  // Whether the row that stands for one of the leaves is in view.
  isInView(leaves) {
    for (const leaf of leaves) if (this.rowOf[leaf] >= this.first && this.rowOf[leaf] < this.last) return true;
    return false;
  }

  // The rows that stand for leaves, without those that a filter hides.
  rowsOf(leaves) {
    if (leaves.length === 1) return this.rowOf[leaves[0]] < 0 ? [] : [this.rowOf[leaves[0]]];
    return [...new Set(leaves.map((leaf) => this.rowOf[leaf]))].filter((row) => row >= 0);
  }

  // The rows at which ribbons to leaves end: those in view, and the nearest ones above and below for the others.
  ends(leaves) {
    const rows = this.rowsOf(leaves).map((row) => Math.min(Math.max(row, this.first - 1), this.last));
    return rows.length > 1 ? [...new Set(rows)] : rows;
  }

  // The middle of a row, in pixels from the top of the pane.
  middle(row) {
    return row * ROW + ROW / 2 - this.box.scrollTop;
  }

  draw() {
    this.first = Math.max(0, Math.floor(this.box.scrollTop / ROW) - 4);
    this.last = Math.min(this.rows.length, Math.ceil((this.box.scrollTop + this.box.clientHeight) / ROW) + 4);
    const made = [];
    for (let row = this.first; row < this.last; row += 1) made.push(this.row(this.rows[row], row));
    this.body.replaceChildren(...made);
    this.box.setAttribute("aria-activedescendant", this.active ? this.id(this.rows.indexOf(this.active)) : "");
  }

  id(row) {
    return `row${this.tree.side}-${row}`;
  }

  row(node, index) {
    const link = node.leaf?.links[0];
    const row = element("div", {
      class: `row ${link ? link.kind : "group"}`, id: this.id(index), "data-row": index, role: "treeitem",
      "aria-level": node.depth + 1, "aria-selected": String(node.leaf !== null && this.app.selected?.leaf === node.leaf),
    });
    row.style.transform = `translateY(${index * ROW}px)`;
    row.style.paddingInlineStart = `${node.depth * 14 + 4}px`;
    if (node.children.size) row.setAttribute("aria-expanded", String(node.open));
    if (node === this.active) row.classList.add("active");
    if (this.app.hot.size && this.linksOf(node).some((one) => this.app.hot.has(one.index))) row.classList.add("hot");
    if (link && link.proof === "none") row.classList.add("unproved");
    const twist = node.children.size ? (node.open ? "▾" : "▸") : "";
    const detail = node.leaf ? node.leaf.detail : `${node.count.toLocaleString("en")} ${node.count === 1 ? "leaf" : "leaves"}`;
    row.append(
      element("span", { class: "twist", "aria-hidden": "true" }, twist),
      element("span", { class: "mark", "aria-hidden": "true" }, link ? MARKS[link.kind] : ""),
      element("span", { class: "name" }, node.name),
      element("span", { class: "detail" }, detail),
      element("span", { class: "bytes" }, sizeText(node.leaf && !node.open ? node.bytes : node.leaf ? node.leaf.bytes : node.bytes)),
    );
    if (link) row.append(element("span", { class: "unseen" }, `, ${picture.labels[link.kind]}${link.proof === "none" ? ", unproved" : ""}`));
    return row;
  }
}
