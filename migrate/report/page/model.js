// The picture as objects: trees of nodes, and links by leaf. Slots of an optimizer are children of their param's leaf.

const picture = JSON.parse(document.getElementById("picture").textContent);
const links = picture.links.map((link, index) => ({ from: [], to: [], facts: [], proof: "", ...link, index }));

class Tree {
  constructor(side) {
    this.side = side;
    this.end = side === 0 ? "from" : "to";
    this.label = picture.trees[side].label;
    this.leaves = picture.trees[side].leaves.map(([path, detail, bytes, statistics], index) => ({
      index, path, detail, bytes, statistics, text: path.join("/"), links: [],
    }));
    for (const link of links) for (const leaf of link[this.end]) this.leaves[leaf].links.push(link);
    this.root = this.node("", null);
    const places = this.leaves.map((leaf) => this.place(leaf));
    for (const place of [...places].sort((a, b) => a.owner - b.owner)) this.add(place);
    this.total(this.root);
  }

  // Where a leaf is shown: at its key path, or below the leaf of the param that it follows.
  place(leaf) {
    const link = leaf.links.find((one) => one.follows !== undefined);
    const params = link ? links[link.follows][this.end] : [];
    const param = this.leaves[params[link ? link[this.end].indexOf(leaf.index) : 0] ?? params[0]];
    if (!param || param === leaf) return { leaf, path: leaf.path, owner: 0 };
    let shared = 0;
    while (shared < param.path.length && leaf.path.at(-1 - shared) === param.path.at(-1 - shared)) shared += 1;
    const slot = leaf.path.slice(0, leaf.path.length - shared).join("/") || leaf.text;
    return { leaf, path: [...param.path, slot], owner: 1 };
  }

  node(name, parent) {
    return { name, parent, depth: parent ? parent.depth + 1 : -1, children: new Map(), leaf: null, open: false, bytes: 0, count: 0, shown: 0 };
  }

  add({ leaf, path }) {
    let node = this.root;
    for (const name of path.length ? path : ["(root)"]) {
      if (!node.children.has(name)) node.children.set(name, this.node(name, node));
      node = node.children.get(name);
    }
    node.leaf = leaf;
    leaf.node = node;
  }

  total(node) {
    node.bytes = node.leaf ? node.leaf.bytes : 0;
    node.count = node.leaf ? 1 : 0;
    for (const child of node.children.values()) {
      this.total(child);
      node.bytes += child.bytes;
      node.count += child.count;
    }
  }

  // Counts the leaves below each node that a filter shows.
  filter(isShown) {
    const count = (node) => {
      node.shown = node.leaf && isShown(node.leaf) ? 1 : 0;
      for (const child of node.children.values()) node.shown += count(child);
      return node.shown;
    };
    return count(this.root);
  }

  // Opens levels from the top as long as at most `most` rows are shown; the rest is closed.
  openUpTo(most) {
    this.close(this.root);
    this.root.open = true;
    let level = this.visible(this.root);
    for (let rows = level.length; level.length; ) {
      const next = level.flatMap((node) => this.visible(node));
      rows += next.length;
      if (rows > most) break;
      for (const node of level) node.open = node.children.size > 0 && !node.leaf;
      level = level.filter((node) => node.open).flatMap((node) => this.visible(node));
    }
  }

  close(node) {
    node.open = false;
    for (const child of node.children.values()) if (child.children.size) this.close(child);
  }

  visible(node) {
    return [...node.children.values()].filter((child) => child.shown);
  }

  // The rows in order, and for each leaf the row that stands for it: its own, or that of a closed node above it.
  rows() {
    const rows = [];
    const rowOf = new Int32Array(this.leaves.length).fill(-1);
    const enter = (node, row) => {
      for (const child of node.children.values()) {
        if (!child.shown) continue;
        const own = row === null ? rows.push(child) - 1 : row;
        if (child.leaf) rowOf[child.leaf.index] = own;
        enter(child, row === null && child.open ? null : own);
      }
    };
    enter(this.root, null);
    return { rows, rowOf };
  }
}

const trees = picture.trees.map((_, side) => new Tree(side));

function leavesBelow(node) {
  const found = node.leaf ? [node.leaf] : [];
  for (const child of node.children.values()) found.push(...leavesBelow(child));
  return found;
}

function sizeText(bytes) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  while (bytes >= 1024 && unit < units.length - 1) { bytes /= 1024; unit += 1; }
  return `${unit && bytes < 100 ? bytes.toFixed(1) : Math.round(bytes)} ${units[unit]}`;
}

function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}
