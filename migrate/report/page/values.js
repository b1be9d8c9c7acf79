// The statistics of values, before and after: a table, and histograms over one axis.

const NUMBERS = ["values", "zeros", "NaN", "−∞", "+∞", "min", "max", "mean", "std"];
const ORDER = ["min", "max", "mean", "std", "values", "zeros", "NaN", "−∞", "+∞"];
const ALARMS = new Set(["NaN", "−∞", "+∞"]);

// The elements about a link; none where nothing was measured. Where a side has several leaves, the selected one has a column.
function valuesOf(link, selected) {
  const side = trees[0].leaves[selected.index] === selected ? 0 : 1;
  const isOneOfSeveral = (side === 0 ? link.from : link.to).length > 1;
  const columns = [sideOf("before", link, 0), sideOf("after", link, 1)];
  if (isOneOfSeveral) columns.push(column("leaf", "this leaf", selected.statistics));
  const measured = columns.filter(Boolean);
  return measured.length ? [valuesTable(measured), ...histograms(measured)] : [];
}

function sideOf(word, link, side) {
  const ends = side === 0 ? link.from : link.to;
  if (!trees[side] || !ends.length) return null;
  return ends.length > 1
    ? column(word, `${word}, ${ends.length} leaves`, link[word])
    : column(word, word, trees[side].leaves[ends[0]].statistics);
}

function column(word, title, row) {
  if (row === undefined) return null;
  const parts = picture.statistics[row];
  const numbers = Object.fromEntries(NUMBERS.map((name, index) => [name, parts[index]]));
  return { word, title, numbers, histogram: parts.slice(NUMBERS.length) };
}

function valuesTable(columns) {
  const titles = columns.map(({ title }) => element("th", { scope: "col" }, title));
  const lines = ORDER.filter((name) => name === "NaN" || !ALARMS.has(name) || columns.some(({ numbers }) => numbers[name]));
  return element(
    "table", { class: "values" },
    element("caption", {}, "values"),
    element("thead", {}, element("tr", {}, element("td"), ...titles)),
    element("tbody", {}, ...lines.map((name) => valuesLine(name, columns))),
  );
}

function valuesLine(name, columns) {
  const [first] = columns;
  const cells = columns.map(({ word, numbers }) => {
    const value = numbers[name];
    const text = value === null ? "–" : typeof value === "number" ? value.toLocaleString("en") : value;
    const alarms = ALARMS.has(name) && value > 0;
    const cell = element("td", alarms ? { class: "alarm" } : {}, alarms ? `⚠ ${text}` : text);
    const differs = word === "after" && first.word === "before" && value !== first.numbers[name];
    if (differs) cell.append(element("span", { class: "changed", title: "differs" }, " ≠"));
    return cell;
  });
  return element("tr", {}, element("th", { scope: "row" }, name), ...cells);
}

// Every histogram over the range of all of them, so that bars at one place are about the same values.
function histograms(columns) {
  const drawn = columns.filter(({ histogram }) => histogram.length);
  if (!drawn.length) return [];
  const low = Math.min(...drawn.map(({ histogram }) => histogram[0]));
  const high = Math.max(...drawn.map(({ histogram }) => histogram[1]));
  const parts = drawn.flatMap((one) => [element("span", {}, one.title), bars(one, low, high)]);
  const axis = element("div", { class: "axis", "aria-hidden": "true" }, element("span", {}, shortNumber(low)), element("span", {}, shortNumber(high)));
  return [element("div", { class: "histograms" }, ...parts, axis)];
}

function bars({ word, title, histogram: [first, last, heights] }, low, high) {
  const at = (value) => (high > low ? (200 * (value / 2 - low / 2)) / (high / 2 - low / 2) : 100);
  const svg = document.createElementNS(SVG, "svg");
  const tallest = heights.indexOf("z");
  const edge = (number) => shortNumber(first * (1 - number / heights.length) + last * (number / heights.length));
  const most = first < last ? `; the tallest bar is from ${edge(tallest)} to ${edge(tallest + 1)}` : "";
  const name = `Histogram ${title}: values from ${shortNumber(first)} to ${shortNumber(last)}${most}`;
  for (const [key, value] of Object.entries({ viewBox: "0 0 200 36", preserveAspectRatio: "none", role: "img", "aria-label": name, class: word })) svg.setAttribute(key, value);
  const wide = Math.max((at(last) - at(first)) / heights.length, 1);
  [...heights].forEach((digit, number) => {
    const height = parseInt(digit, 36);
    if (!height) return;
    const bar = document.createElementNS(SVG, "rect");
    const left = Math.min(at(first) + number * wide, 200 - wide);
    for (const [key, value] of Object.entries({ x: left, y: 36 - height, width: Math.max(wide * 0.92, 0.8), height })) bar.setAttribute(key, value);
    svg.append(bar);
  });
  return svg;
}

function shortNumber(value) {
  return String(Number(value.toPrecision(4)));
}
