// Draws the plots in the colours of the reader's theme, and sorts and filters the tables.

const {plots, themes} = JSON.parse(document.getElementById("data").textContent);
const dark = matchMedia("(prefers-color-scheme: dark)");
const drawn = new Map();
window.report = {drawn, turn: 0};   // for tests, and for people with a console

async function draw() {
  const turn = ++report.turn;
  const config = themes[dark.matches ? "dark" : "light"];
  for (const [name, spec] of Object.entries(plots)) {
    const place = document.querySelector(`[data-plot="${name}"]`);
    drawn.get(name)?.finalize();
    const embedded = await vegaEmbed(place, {...spec, width: "container"}, {
      config, renderer: "svg", ast: true, logLevel: 1, defaultStyle: "/* report.css */", downloadFileName: name,
      actions: {export: true, source: false, compiled: false, editor: false},
      tooltip: {theme: "custom", disableDefaultStyle: true},
      loader: {load: () => { throw new Error("a report loads nothing"); }},
    });
    if (turn !== report.turn) return embedded.finalize();
    drawn.set(name, embedded);
  }
}

function sortable(table) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => head.querySelector("button").addEventListener("click", () => {
    const up = head.ariaSort === "descending" || (head.ariaSort === null && !head.classList.contains("number"));
    const value = (row) => row.cells[column].dataset.value ?? row.cells[column].textContent;
    const numeric = head.classList.contains("number");
    const order = (a, b) => (numeric ? value(a) - value(b) : value(a).localeCompare(value(b), "en", {numeric: true}));
    const rows = [...table.tBodies[0].rows].sort((a, b) => (up ? order(a, b) : order(b, a)));
    heads.forEach((other) => other.removeAttribute("aria-sort"));
    head.ariaSort = up ? "ascending" : "descending";
    table.tBodies[0].append(...rows);
  }));
}

function filtered(input) {
  const rows = [...document.getElementById(input.dataset.table).tBodies[0].rows];
  input.addEventListener("input", () => {
    const words = input.value.toLowerCase().split(/\s+/);
    for (const row of rows) row.hidden = !words.every((word) => row.textContent.toLowerCase().includes(word));
  });
}

document.querySelectorAll("table").forEach(sortable);
document.querySelectorAll("input[data-table]").forEach(filtered);
dark.addEventListener("change", draw);
draw();
