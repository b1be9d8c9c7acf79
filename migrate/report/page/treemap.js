// The bytes of a tree as areas, by the squarified algorithm of Bruls, Huizing and van Wijk (2000).

class Treemap {
  constructor(tree, app) {
    this.tree = tree;
    this.app = app;
    this.canvas = document.getElementById("treemap");
    this.status = document.getElementById("treemap-status");
    this.canvas.addEventListener("pointermove", (event) => this.point(event));
    this.canvas.addEventListener("pointerleave", () => { this.status.textContent = ""; app.point([]); });
    this.canvas.addEventListener("click", (event) => {
      const found = this.find(event);
      if (found) app.select(found.leaf, tree.side);
    });
  }

  draw() {
    const { clientWidth: width, clientHeight: height } = this.canvas;
    const scale = window.devicePixelRatio || 1;
    this.canvas.width = width * scale;
    this.canvas.height = height * scale;
    const context = this.canvas.getContext("2d");
    context.scale(scale, scale);
    this.colors = Object.fromEntries(Object.keys(MARKS).map((kind) => [kind, this.color(kind)]));
    this.edge = this.color("page");
    this.text = this.color("text");
    this.areas = [];
    this.named = this.tree.root.children.size > 1 ? 0 : 1;
    this.divide(context, this.tree.root, 0, 0, width, height);
  }

  // A color of the style, as a canvas understands it: for the theme in use.
  color(name) {
    this.canvas.style.color = `var(--${name})`;
    return getComputedStyle(this.canvas).color;
  }

  divide(context, node, x, y, width, height) {
    const parts = [...node.children.values()].filter((child) => child.bytes > 0 && child.shown);
    if (node.leaf && !parts.length) return this.fill(context, node.leaf, x, y, width, height);
    if (node.leaf && node.leaf.bytes) parts.push({ leaf: node.leaf, bytes: node.leaf.bytes, children: new Map() });
    if (!parts.length) return;
    if (width * height < 12) return this.fill(context, leavesBelow(node)[0], x, y, width, height);
    for (const [part, ...box] of squarify(parts, x, y, width, height)) this.divide(context, part, ...box);
    if (node.depth === this.named && width > 60 && height > 18) this.name(context, node, x, y);
  }

  fill(context, leaf, x, y, width, height) {
    const link = leaf.links.find((one) => this.app.isShown[one.index]) ?? leaf.links[0];
    context.fillStyle = link ? this.colors[link.kind] : this.text;
    context.globalAlpha = link && link.proof === "none" ? 0.55 : 0.85;
    context.fillRect(x, y, Math.max(width - 0.6, 0.4), Math.max(height - 0.6, 0.4));
    context.globalAlpha = 1;
    this.areas.push({ leaf, x, y, width, height });
  }

  name(context, node, x, y) {
    context.font = "12px system-ui, sans-serif";
    const width = context.measureText(node.name).width;
    context.fillStyle = this.edge;
    context.globalAlpha = 0.8;
    context.fillRect(x + 3, y + 3, width + 8, 16);
    context.globalAlpha = 1;
    context.fillStyle = this.text;
    context.fillText(node.name, x + 7, y + 15);
  }

  find({ offsetX, offsetY }) {
    return this.areas.find(({ x, y, width, height }) => offsetX >= x && offsetX < x + width && offsetY >= y && offsetY < y + height);
  }

  point(event) {
    const found = this.find(event);
    this.status.textContent = found ? `${found.leaf.text}  ${found.leaf.detail}  ${sizeText(found.leaf.bytes)}` : "";
    this.app.point(found ? found.leaf.links : []);
  }
}

// Boxes for parts in a rectangle, with areas by their bytes and sides as equal as rows allow.
function squarify(parts, x, y, width, height) {
  const sorted = [...parts].sort((a, b) => b.bytes - a.bytes);
  let left = sorted.reduce((sum, part) => sum + part.bytes, 0);
  const boxes = [];
  for (let start = 0; start < sorted.length; ) {
    const side = Math.min(width, height);
    const area = (width * height) / left;
    let [end, sum, worst] = [start, 0, Infinity];
    while (end < sorted.length) {
      const more = sum + sorted[end].bytes;
      const ratio = worstRatio(sorted[start].bytes * area, sorted[end].bytes * area, more * area, side);
      if (ratio > worst) break;
      [end, sum, worst] = [end + 1, more, ratio];
    }
    const thick = side ? (sum * area) / side : 0;
    let offset = 0;
    for (const part of sorted.slice(start, end)) {
      const long = sum ? (side * part.bytes) / sum : 0;
      boxes.push(width >= height ? [part, x, y + offset, thick, long] : [part, x + offset, y, long, thick]);
      offset += long;
    }
    if (width >= height) { x += thick; width -= thick; } else { y += thick; height -= thick; }
    left -= sum;
    start = end;
  }
  return boxes;
}

function worstRatio(largest, smallest, sum, side) {
  const square = side * side;
  return Math.max((square * largest) / (sum * sum), (sum * sum) / (square * smallest));
}
