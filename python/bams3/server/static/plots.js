// The statistics of a dataset: numbers, tables, and plots drawn as SVG.

const SVG = "http://www.w3.org/2000/svg";
const WIDTH = 560, HEIGHT = 200, LEFT = 52, BOTTOM = 26, TOP = 10, RIGHT = 8;

export function element(name, attributes = {}, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  node.append(...children);
  return node;
}

function shape(name, attributes, ...children) {
  const node = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  node.append(...children);
  return node;
}

const whole = new Intl.NumberFormat("en");
const short = new Intl.NumberFormat("en", {notation: "compact", maximumSignificantDigits: 3});
const percent = (part, all) => (all ? `${((100 * part) / all).toFixed(2)} %` : "–");

export function bytes(count) {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let n = 0;
  for (; count >= 1000 && n < units.length - 1; n++) count /= 1000;
  return `${n ? count.toPrecision(3) : count} ${units[n]}`;
}

/** Everything about a dataset. `depth`: means along contigs, as the server gives them. */
export function statistics(stats, depth) {
  const page = element("div", {class: "stats"});
  page.append(numbers(stats), figures(stats, depth), tables(stats));
  return page;
}

function numbers(stats) {
  const flag = (name) => stats.flagstat[name]?.[0] ?? 0;
  const insert = stats.insert_size;
  const items = [
    ["Records", short.format(stats.records), whole.format(stats.records)],
    ["Mapped", percent(flag("mapped"), flag("total")), `${whole.format(flag("mapped"))} reads`],
    ["Mean depth", `${stats.mean_depth < 0.1 ? stats.mean_depth.toPrecision(2) : stats.mean_depth.toFixed(1)}×`, "over all contigs"],
    ["Duplicates", percent(flag("duplicates"), flag("total")), `${whole.format(flag("duplicates"))} reads`],
    ["Proper pairs", percent(flag("properly_paired"), flag("paired")), `of ${whole.format(flag("paired"))} paired`],
    ["Insert size", insert.count ? whole.format(insert.median) : "–",
      insert.count ? `median; quartiles ${insert.first_quartile}–${insert.third_quartile}` : "no pairs"],
    ["Read length", stats.mean_length.toFixed(stats.mean_length % 1 ? 1 : 0), `mean; longest ${whole.format(stats.longest)}`],
    ["Stored", bytes(stats.sizes.total), stats.bases ? `${((8 * stats.sizes.total) / stats.bases).toFixed(2)} bits a base` : ""],
  ];
  return element("dl", {class: "numbers"}, ...items.map(([name, value, note]) =>
    element("div", {}, element("dt", {}, name), element("dd", {}, value), element("dd", {class: "note"}, note))));
}

function figures(stats, depth) {
  const contigs = Object.entries(stats.idxstats).filter(([, row]) => row.mapped + row.unmapped);
  const columns = Object.entries(stats.sizes.columns ?? {}).filter(([, size]) => size).sort((a, b) => b[1] - a[1]);
  const all = columns.reduce((sum, [, size]) => sum + size, 0);
  const insert = trimmed(pairs(stats.insert_size.histogram));
  const box = element("div", {class: "figures"});
  if (depth?.contigs.length) box.append(figure("Depth along contigs", "mean per window, estimated from the index", along(depth.contigs), true));
  if (contigs.length) box.append(figure("Reads by contig", "mapped", bars(contigs.slice(0, 60).map(([name, row]) => [name, row.mapped]))));
  if (insert.length) box.append(figure("Insert size", "pairs by bases", histogram(insert)));
  box.append(figure("Mapping quality", "reads by MAPQ", histogram(pairs(stats.mapq))));
  box.append(figure("Read length", "reads by bases", histogram(pairs(stats.length))));
  if (columns.length) box.append(figure("Bytes by column", `${bytes(all)} in all`, shares(columns, all)));
  return box;
}

function figure(title, note, plot, wide = false) {
  plot.setAttribute("aria-label", `${title}: ${note}`);
  return element("figure", wide ? {class: "wide"} : {},
    element("figcaption", {}, element("b", {}, title), element("span", {class: "note"}, note)), plot);
}

const pairs = (histogram) => Object.entries(histogram).map(([value, count]) => [Number(value), count]);

/** Leave out the last half percent, which would flatten all the rest. */
function trimmed(items) {
  const total = items.reduce((sum, [, count]) => sum + count, 0);
  let seen = 0;
  return items.filter(([, count]) => (seen += count) <= 0.995 * total || items.length < 20);
}

// ---- axes ---------------------------------------------------------------------------------------
function nice(most, wanted = 4) {
  const rough = most / wanted, power = 10 ** Math.floor(Math.log10(rough || 1));
  const step = [1, 2, 2.5, 5, 10].find((n) => n * power >= rough) * power;
  return Array.from({length: Math.floor(most / step + 1e-9) + 1}, (_, n) => n * step);
}

function frame(most, width = WIDTH) {
  const top = most || 1;
  const y = (value) => HEIGHT - BOTTOM - (value / top) * (HEIGHT - BOTTOM - TOP);
  const lines = nice(top).map((value) => shape("g", {},
    shape("line", {class: "grid", x1: LEFT, x2: width - RIGHT, y1: y(value), y2: y(value)}),
    shape("text", {class: "tick", x: LEFT - 6, y: y(value) + 4, "text-anchor": "end"}, short.format(value))));
  return {y, plot: shape("svg", {viewBox: `0 0 ${width} ${HEIGHT}`, role: "img"}, ...lines)};
}

const label = (x, text, anchor = "middle") =>
  shape("text", {class: "tick", x, y: HEIGHT - 8, "text-anchor": anchor}, text);

function rectangle(x, y, width, height, tip, style = "bar") {
  return shape("rect", {class: style, x, y, width: Math.max(width, 0.5), height: Math.max(height, 0)},
    shape("title", {}, tip));
}

// ---- plots --------------------------------------------------------------------------------------
function histogram(items) {
  const low = items[0]?.[0] ?? 0, high = items.at(-1)?.[0] ?? 1;
  const step = Math.max(1, Math.ceil((high - low + 1) / 120));
  const bins = new Map();
  for (const [value, count] of items) {
    const bin = low + Math.floor((value - low) / step) * step;
    bins.set(bin, (bins.get(bin) ?? 0) + count);
  }
  const {y, plot} = frame(Math.max(...bins.values()));
  const spread = Math.max(high - low + step, 5 * step);
  const from = low - (spread - (high - low + step)) / 2;
  const scale = (WIDTH - LEFT - RIGHT) / spread;
  const x = (value) => LEFT + (value - from) * scale;
  for (const [bin, count] of bins) {
    const text = step > 1 ? `${bin}–${bin + step - 1}` : `${bin}`;
    plot.append(rectangle(x(bin), y(count), step * scale - (step * scale > 3 ? 1 : 0), HEIGHT - BOTTOM - y(count), `${text}: ${whole.format(count)}`));
  }
  const ticks = high > low ? nice(high, 6).filter((value) => value >= low) : [low];
  plot.append(...ticks.map((value) => label(x(value) + (step * scale) / 2, whole.format(value))));
  return plot;
}

function bars(items) {
  const {y, plot} = frame(Math.max(...items.map(([, count]) => count)));
  const step = Math.min(60, (WIDTH - LEFT - RIGHT) / items.length);
  items.forEach(([name, count], n) => {
    plot.append(rectangle(LEFT + n * step + 1, y(count), step - 2, HEIGHT - BOTTOM - y(count), `${name}: ${whole.format(count)}`));
  });
  const every = Math.ceil((8 * Math.max(...items.map(([name]) => name.length)) + 6) / step);
  items.forEach(([name], n) => {
    if (n % every === 0) plot.append(label(LEFT + (n + 0.5) * step, name.length > 14 ? `${name.slice(0, 13)}…` : name));
  });
  return plot;
}

function along(contigs) {
  const width = 2 * WIDTH + 24;
  const total = contigs.reduce((sum, {means, width: bin}) => sum + means.length * bin, 0);
  const every = contigs.flatMap(({means}) => means).sort((a, b) => a - b);
  const most = Math.min(every.at(-1), 3 * (every[Math.floor(every.length * 0.98)] || every.at(-1))) || 1;
  const {y, plot} = frame(most, width);
  const scale = (width - LEFT - RIGHT) / total;
  let at = LEFT, last = -1e9;
  contigs.forEach(({contig, width: bin, means}, n) => {
    const end = at + means.length * bin * scale;
    const points = means.flatMap((mean, i) => [i, i + 1].map((k) => `${(at + k * bin * scale).toFixed(1)},${y(Math.min(mean, most)).toFixed(1)}`));
    const area = shape("polygon", {class: n % 2 ? "area odd" : "area", points: `${at},${y(0)} ${points.join(" ")} ${end},${y(0)}`},
      shape("title", {}, contig));
    plot.append(area);
    const middle = (at + end) / 2, needed = 7 * contig.length;
    if (middle - last > needed && (end - at > needed / 2 || contigs.length < 12)) {
      plot.append(label(Math.min(middle, width - RIGHT - needed / 2), contig));
      last = middle + needed / 2;
    }
    at = end;
  });
  return plot;
}

function shares(items, all) {
  const row = 22, height = items.length * row + 8;
  const plot = shape("svg", {viewBox: `0 0 ${WIDTH} ${height}`, role: "img"});
  items.forEach(([name, size], n) => {
    const y = 4 + n * row, width = ((WIDTH - 250) * size) / items[0][1];
    plot.append(
      shape("text", {class: "tick", x: 104, y: y + 14, "text-anchor": "end"}, name),
      rectangle(112, y + 3, width, row - 7, `${name}: ${whole.format(size)} bytes`),
      shape("text", {class: "tick", x: 118 + width, y: y + 14}, `${bytes(size)} · ${percent(size, all)}`));
  });
  return plot;
}

// ---- tables -------------------------------------------------------------------------------------
const LINES = {
  total: "in total", primary: "primary", secondary: "secondary", supplementary: "supplementary",
  duplicates: "duplicates", primary_duplicates: "primary duplicates", mapped: "mapped",
  primary_mapped: "primary mapped", paired: "paired in sequencing", read1: "read 1", read2: "read 2",
  properly_paired: "properly paired", both_mapped: "with itself and mate mapped", singletons: "singletons",
  mate_on_other_contig: "mate on another contig", mate_on_other_contig_mapq5: "… with MAPQ ≥ 5",
};

function tables(stats) {
  const flags = Object.entries(stats.flagstat).map(([name, [passed, failed]]) => [LINES[name] ?? name, passed, failed]);
  const contigs = Object.entries(stats.idxstats).filter(([, row]) => row.mapped + row.unmapped)
    .map(([name, row]) => [name, row.length, row.mapped, row.unmapped, row.mean_depth.toFixed(2)]);
  contigs.push(["unplaced", "", "", stats.unplaced, ""]);
  return element("div", {class: "tables"},
    table("Flags", ["", "passed QC", "failed QC"], flags),
    table("Contigs", ["", "length", "mapped", "unmapped", "depth"], contigs));
}

function table(title, head, rows) {
  const cell = (value) => (typeof value === "number" ? whole.format(value) : value);
  return element("div", {class: "scroll"}, element("table", {}, element("caption", {}, title),
    element("thead", {}, element("tr", {}, ...head.map((text) => element("th", {scope: "col"}, text)))),
    element("tbody", {}, ...rows.map(([name, ...values]) =>
      element("tr", {}, element("th", {scope: "row"}, name), ...values.map((value) => element("td", {}, cell(value))))))));
}
