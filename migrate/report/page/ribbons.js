// The ribbons between two panes: one for each pair of rows, for the links with an end in view. Rows above and below the
// view share one ribbon.

const SVG = "http://www.w3.org/2000/svg";

class Ribbons {
  constructor(panes, app) {
    this.panes = panes;
    this.app = app;
    this.svg = document.getElementById("ribbons");
    this.svg.addEventListener("pointerover", (event) => app.point(event.target.links ?? []));
    this.svg.addEventListener("pointerleave", () => app.point([]));
    this.svg.addEventListener("click", (event) => event.target.links && app.selectLink(event.target.links[0]));
  }

  draw() {
    const groups = new Map();
    this.size = { width: this.svg.clientWidth, height: this.svg.clientHeight };
    for (const link of links) {
      const inView = this.panes[0].isInView(link.from) || this.panes[1].isInView(link.to);
      if (inView && this.app.isShown[link.index]) this.collect(link, groups);
    }
    const drawn = [...groups.values()].map((group) => this.path(group));
    this.svg.replaceChildren(...drawn.filter((one) => !one.isHot), ...drawn.filter((one) => one.isHot));
  }

  collect(link, groups) {
    const [lefts, rights] = [this.panes[0].ends(link.from), this.panes[1].ends(link.to)];
    for (const left of lefts.length ? lefts : [null]) {
      for (const right of rights.length ? rights : [null]) {
        if (left === null && right === null) continue;
        const key = `${left}|${right}|${link.kind}`;
        const group = groups.get(key) ?? groups.set(key, { left, right, kind: link.kind, links: [] }).get(key);
        group.links.push(link);
      }
    }
  }

  path({ left, right, kind, links: own }) {
    const { width, height } = this.size;
    const at = (side, row) => Math.min(Math.max(this.panes[side].middle(row), -40), height + 40);
    const stub = width / 5;
    const [x1, y1] = left === null ? [width - stub, at(1, right)] : [0, at(0, left)];
    const [x2, y2] = right === null ? [stub, at(0, left)] : [width, at(1, right)];
    const path = document.createElementNS(SVG, "path");
    path.setAttribute("d", `M${x1},${y1}C${(x1 + x2) / 2},${y1} ${(x1 + x2) / 2},${y2} ${x2},${y2}`);
    path.setAttribute("stroke-width", Math.min(1.5 + Math.log2(own.length), 12));
    path.links = own;
    path.isHot = own.some((link) => this.app.hot.has(link.index));
    path.setAttribute("class", `${kind}${path.isHot ? " hot" : ""}${own.some((link) => link.proof === "none") ? " unproved" : ""}`);
    return path;
  }
}
