// The panel about a selected leaf: where it comes from and goes, and the rule beside what it did.

const PROOFS = { name: "by name", shape: "by shape", value: "by value, with a probe", none: "unproved: only the rule file assigns it" };

const PLAIN = new Set(["keep", "rename", "cast", "create", "drop", "array", "differs", "the same", "only in the source", "only in the target"]);

class Details {
  constructor(app) {
    this.app = app;
    this.box = document.getElementById("details");
  }

  show(link, selected) {
    const [from, to] = [this.ends(link.from, 0), this.ends(link.to, 1)];
    const slots = links.filter((one) => one.follows === link.index);
    this.box.replaceChildren(
      element("h2", {}, element("span", { class: `mark ${link.kind}` }, MARKS[link.kind]), ` ${picture.labels[link.kind]}`, PLAIN.has(link.verb) ? "" : ` (${link.verb})`),
      ...this.list("from", from),
      ...this.list("to", to),
      this.facts(link, slots),
      ...valuesOf(link, selected),
      ...this.rule(link),
    );
  }

  ends(indices, side) {
    return indices.map((index) => trees[Math.min(side, trees.length - 1)].leaves[index]);
  }

  list(word, leaves) {
    if (!leaves.length) return [];
    const shown = leaves.slice(0, 12).map((leaf) => element("li", {}, element("code", {}, leaf.text), ` ${leaf.detail}`));
    if (leaves.length > 12) shown.push(element("li", {}, `… ${leaves.length - 12} more`));
    return [element("h3", {}, word), element("ul", {}, ...shown)];
  }

  facts(link, slots) {
    const rows = [...link.facts];
    if (link.proof) rows.push(["proved", PROOFS[link.proof] ?? link.proof]);
    if (slots.length) rows.push(["optimizer", slots.length === 1 ? "1 slot follows" : `${slots.length} slots follow`]);
    const cells = rows.flatMap(([label, value]) => [element("dt", {}, label), element("dd", {}, value)]);
    return element("dl", {}, ...cells);
  }

  rule(link) {
    if (link.rule === undefined) return [];
    const [place, text] = picture.rules[link.rule];
    return [element("h3", {}, `rule, ${place}`), element("pre", {}, text)];
  }
}
