// The page: which sample, where, and how it is drawn. What is shown stands in the fragment of the
// address, so that every view is a link.

import {READS_WITHIN, drawn, genome, path} from "./tracks.js";
import {element, statistics} from "./plots.js";

const SHOWN = 300;   // samples in the list at once
const FOLDED = 56;   // height of alignments, in pixels, where none are drawn
const settings = JSON.parse(document.getElementById("settings").textContent);
const $ = (id) => document.getElementById(id);

const state = {
  all: {samples: [], tracks: [], genes: false, limited: false},
  samples: [],         // those that are drawn
  on: new Set(),       // keys of the tracks that are drawn
  contigs: [],
  tab: "browser",
  locus: "",
  browser: null,
  loaded: new Map(),   // key to the tracks of igv.js
  turn: 0,             // counts what was asked for, so that late answers are dropped
};
window.page = state;   // for tests, and for people with a console

// ---- the server ---------------------------------------------------------------------------------
const token = () => sessionStorage.getItem("bams3-token") ?? "";

async function ask(place, parameters) {
  const query = parameters ? `?${new URLSearchParams(parameters)}` : "";
  const headers = token() ? {Authorization: `Bearer ${token()}`} : {};
  const answer = await fetch(`${place}${query}`, {headers});
  if (answer.ok) return answer.json();
  const {error} = await answer.json().catch(() => ({error: {}}));
  if (answer.status === 401 && settings.token) return signIn(error.message).then(() => ask(place, parameters));
  throw new Error([error.message ?? `status ${answer.status}`, error.hint].filter(Boolean).join("; "));
}

function signIn(problem) {
  const box = $("sign-in");
  $("token-problem").hidden = !token();
  $("token-problem").textContent = token() ? problem : "";
  if (!box.open) box.showModal();
  return new Promise((done) => {
    $("token-form").addEventListener("submit", (event) => {
      event.preventDefault();
      sessionStorage.setItem("bams3-token", $("token").value.trim());
      $("token").value = "";
      box.close();
      done();
    }, {once: true});
  });
}

function notice(text) {
  $("notice").textContent = text;
  $("notice").hidden = !text;
}

// ---- the address --------------------------------------------------------------------------------
function fragment() {
  const given = new URLSearchParams();
  state.samples.forEach((sample) => given.append("sample", sample.key));
  if (state.locus) given.set("locus", state.locus);
  const usual = usually(state.samples);
  if (state.samples.length && (usual.size !== state.on.size || [...usual].some((key) => !state.on.has(key)))) {
    given.set("tracks", [...state.on].join("|"));
  }
  if (state.tab !== "browser") given.set("tab", state.tab);
  return given.toString().replaceAll("%2F", "/").replaceAll("%3A", ":").replaceAll("%2C", ",");
}

function remember() {
  const text = fragment();
  if (location.hash.slice(1) !== text) history.replaceState(null, "", text ? `#${text}` : location.pathname);
}

async function follow() {
  clear();  // the old view must not write the address anew
  const given = new URLSearchParams(location.hash.slice(1));
  const keys = given.getAll("sample");
  const wanted = state.all.samples.filter((sample) => keys.includes(sample.key));
  if (keys.length > wanted.length) notice(`Not here, or not for you: ${keys.filter((key) => !wanted.some((s) => s.key === key)).join(", ")}`);
  state.locus = given.get("locus") ?? "";
  const samples = wanted.length || keys.length || state.all.samples.length !== 1 ? wanted : state.all.samples;
  const on = given.has("tracks") ? new Set(given.get("tracks").split("|").filter(Boolean)) : usually(samples);
  show(given.get("tab") === "stats" ? "stats" : "browser");
  await draw(samples, on);
}

// ---- samples and tracks -------------------------------------------------------------------------
/** Of each sample the first alignments and the variants, and the first annotation of all. */
function usually(samples) {
  const keys = samples.flatMap(({tracks}) => {
    const usable = tracks.filter((track) => track.usable);
    const reads = usable.find((track) => track.kind === "alignment");
    return [...(reads ? [reads] : []), ...usable.filter((track) => track.kind === "variant")];
  }).map((track) => track.key);
  const genes = state.all.tracks.find((track) => track.usable && /^g[tf]f/.test(track.format));
  return new Set(genes ? [...keys, genes.key] : keys);
}

const offered = () => [...state.samples.flatMap((sample) => sample.tracks), ...state.all.tracks];

function list() {
  const text = $("filter").value.trim().toLowerCase();
  const found = state.all.samples.filter((sample) => sample.key.toLowerCase().includes(text));
  $("samples").replaceChildren(...found.slice(0, SHOWN).map(entry));
  const rest = found.length - SHOWN;
  $("more").hidden = found.length > 0 && rest <= 0;
  $("more").textContent = found.length ? `and ${rest.toLocaleString("en")} more: search` : "No sample has this name.";
}

function entry(sample) {
  const chosen = state.samples.includes(sample);
  const formats = [...new Set(sample.tracks.map((track) => track.format))].filter((format) => format !== "bed");
  const badges = formats.map((format) => element("span", {class: `badge ${format}`}, format.toUpperCase()));
  const pick = element("button", {class: "pick", ...(chosen && {"aria-current": "true"})},
    element("b", {title: sample.key}, sample.name), element("small", {}, sample.folder), element("span", {class: "badges"}, ...badges));
  pick.addEventListener("click", () => draw([sample]));
  const add = element("button", {class: "quiet add", "aria-label": `${chosen ? "Remove" : "Add"} ${sample.name}`, title: chosen ? "Remove" : "Show beside the others"}, chosen ? "−" : "+");
  add.addEventListener("click", () => draw(chosen ? state.samples.filter((other) => other !== sample) : [...state.samples, sample]));
  return element("li", chosen ? {class: "chosen"} : {}, pick, ...(state.samples.length ? [add] : []));
}

function choices() {
  const tracks = offered();
  $("tracks-of").hidden = !state.samples.length || !tracks.length;
  $("tracks").replaceChildren(...tracks.map((track) => {
    const box = element("input", {type: "checkbox"});
    box.checked = state.on.has(track.key);
    box.disabled = !track.usable;
    box.addEventListener("change", () => toggle(track, box.checked));
    const name = element("span", {class: "name", title: track.key}, track.name);
    return element("li", {}, element("label", {}, box, name, ...(track.usable ? [] : [element("small", {}, "has no index")])));
  }));
}

async function toggle(track, wanted) {
  if (wanted) {
    state.on.add(track.key);
    await load([track]);
  } else {
    state.on.delete(track.key);
    for (const drawnTrack of state.loaded.get(track.key) ?? []) state.browser?.removeTrack(drawnTrack);
    state.loaded.delete(track.key);
  }
  remember();
}

async function load(tracks) {
  const browser = state.browser;
  const depth = {
    ask: (key, parameters) => ask(`/page/depth/${path(key)}`, parameters),
    genome: () => browser.genome,
  };
  for (const track of tracks) {
    try {
      const made = await browser?.loadTrackList(drawn(track, {contigs: state.contigs, depth}));
      if (browser !== state.browser) return;
      state.loaded.set(track.key, made ?? []);
      moved(browser.referenceFrameList);
    } catch (error) {
      if (browser === state.browser) notice(`${track.name}: ${error.message ?? error}`);
    }
  }
}

// ---- drawing ------------------------------------------------------------------------------------
async function draw(samples, on = usually(samples)) {
  const turn = ++state.turn;
  Object.assign(state, {samples, on});
  $("title").textContent = samples.map((sample) => sample.name).join(" · ");
  document.title = samples.length ? `${samples.map((sample) => sample.name).join(", ")} – bams3` : "bams3";
  list();
  choices();
  remember();
  empty(samples.length ? "" : state.all.samples.length ? "Pick a sample on the left." : "There is nothing to show in what is served.");
  const first = samples.flatMap((sample) => sample.tracks).find((track) => state.on.has(track.key));
  clear();
  fill([]);
  if (state.tab === "stats") summarize();
  if (!samples.length) side(true);
  else if (!roomy()) side(false);
  if (state.all.limited) return empty(`Your rights are limited to ${state.all.regions.join(", ")}: htsget serves them, at /reads and /variants. Drawing takes whole files.`);
  if (!first) return samples.length && empty("None of its files has an index: make one, for instance with samtools index.");
  if (!settings.igv || !window.igv) return empty("igv.js is missing from this installation, so nothing can be drawn. Who runs this server can fetch it: make setup.");
  try {
    const {contigs, reference} = await ask(`/page/contigs/${path(first.key)}`);
    if (turn !== state.turn) return;
    state.contigs = contigs;
    fill(contigs);
    notice(reference ? "" : withoutReference(samples));
    await open(first.key, reference, turn);
  } catch (error) {
    if (turn === state.turn) empty(`${samples[0].name} cannot be shown: ${error.message ?? error}`);
  }
}

function withoutReference(samples) {
  const cram = samples.some((sample) => sample.tracks.some((track) => track.format === "cram" && state.on.has(track.key)));
  return cram
    ? "No reference here has these contigs: CRAM files that need one cannot be drawn. Serve its FASTA with its .fai beside them."
    : "No reference here has these contigs: mismatches are not coloured. Serve its FASTA with its .fai to see them.";
}

async function open(key, reference, turn) {
  if (token()) igv.setOauthToken(token(), location.hostname);
  const place = element("div");
  $("igv").replaceChildren(place);
  const wanted = state.locus && parse(state.locus);
  const locus = wanted && (wanted[0] === "all" ? "all" : spot(wanted));
  const browser = await igv.createBrowser(place, {
    loadDefaultGenomes: false, search: false, showNavigation: false, showSampleNames: false, showIdeogram: true,
    reference: genome(key, reference), ...(locus && {locus}), tracks: [],
  });
  if (turn !== state.turn) return igv.removeBrowser(browser);
  state.browser = browser;
  browser.on("locuschange", moved);
  moved(browser.referenceFrameList);
  await load(offered().filter((track) => state.on.has(track.key) && track.usable));
}

function clear() {
  if (state.browser) igv.removeBrowser(state.browser);
  state.browser = null;
  state.loaded.clear();
  $("igv").replaceChildren();
}

function empty(text) {
  $("empty").textContent = text;
  $("empty").hidden = !text;
}

function fill(contigs) {
  $("go").hidden = !contigs.length;
  const options = contigs.map(([name]) => element("option", {value: name}, name));
  $("contig").replaceChildren(element("option", {value: "all"}, "all contigs"), ...options);
}

// ---- where --------------------------------------------------------------------------------------
const digits = (number) => Math.round(number).toLocaleString("en");

function moved(frames) {
  const [{chr, start, end}] = frames;
  fold(chr === "all" || end - start > READS_WITHIN);
  state.locus = chr === "all" ? "all" : `${chr}:${digits(Math.max(start, 0) + 1)}-${digits(end)}`;
  $("locus").value = state.locus;
  $("contig").value = chr;
  remember();
}

/** Where no reads are drawn, alignments need no room; heights that people chose come back. */
function fold(wide) {
  for (const track of [...state.loaded.values()].flat().filter((track) => track.type === "alignment")) {
    if (wide && track.open === undefined) {
      track.open = track.height;
      track.trackView.setTrackHeight(FOLDED, true);
    } else if (!wide && track.open !== undefined) {
      track.trackView.setTrackHeight(track.open, true);
      track.open = undefined;
    }
  }
}

/** Names with colons are no matter here, as they would be in a text for igv.js. */
function spot([contig, start, end]) {
  const length = state.contigs.find(([name]) => name === contig)?.[1] ?? Infinity;
  return {chr: contig, start: Math.max(0, start ?? 0), end: Math.min(end ?? length, length)};
}

async function go(...place) {
  hits([]);
  const {browser} = state;
  if (!browser) return;
  if (place[0] === "all") return browser.search("all");
  await browser.genome.loadChromosome(place[0]);
  return browser.updateLoci([spot(place)]);
}

/** The contig as it is named here: chr17 for 17, and 17 for chr17. */
function named(contig) {
  const names = state.contigs.map(([name]) => name);
  const other = contig.startsWith("chr") ? contig.slice(3) : `chr${contig}`;
  const low = (name) => names.find((known) => known.toLowerCase() === name.toLowerCase());
  return names.includes(contig) ? contig : low(contig) ?? low(other);
}

/** chr1, chr1:5000, chr1:5,000-6,000; null for what is none. */
function parse(text) {
  if (text.toLowerCase() === "all") return ["all"];
  const contig = named(text);
  if (contig) return [contig];
  const found = /^(.+?)[:\s]+([\d,]+)(?:\s*[-\s]\s*([\d,]+))?$/.exec(text);
  const place = found && named(found[1]);
  if (!place) return null;
  const [from, to] = found.slice(2).map((part) => part && Number(part.replaceAll(",", "")));
  return to ? [place, from - 1, to] : [place, from - 100, from + 100];
}

async function search(text) {
  notice("");
  const place = parse(text);
  if (place) return go(...place);
  const genes = state.all.genes ? (await ask("/page/genes", {q: text})).genes : [];
  const exact = genes.filter((gene) => gene.name.toLowerCase() === text.toLowerCase());
  if (genes.length === 0) return notice(state.all.genes ? `Neither a locus nor a gene: ${text}` : `Not a locus: ${text}. Genes can be found where a GFF or GTF is served.`);
  if (exact.length || genes.length === 1) return visit(exact[0] ?? genes[0]);
  hits(genes);
}

function visit(gene) {
  const contig = named(gene.contig);
  if (!contig) return notice(`${gene.name} is on ${gene.contig}, which these alignments do not know.`);
  const margin = Math.max(50, (gene.end - gene.start) * 0.05);
  return go(contig, gene.start - margin, gene.end + margin);
}

function hits(genes) {
  const rows = genes.map((gene, n) => {
    const row = element("li", {role: "option", id: `hit-${n}`, "aria-selected": "false"},
      element("b", {}, gene.name), element("small", {}, `${gene.contig}:${digits(gene.start + 1)}-${digits(gene.end)}`));
    row.addEventListener("mousedown", (event) => {
      event.preventDefault();
      visit(gene);
    });
    row.gene = gene;
    return row;
  });
  $("hits").replaceChildren(...rows);
  $("hits").hidden = !rows.length;
  $("locus").setAttribute("aria-expanded", String(rows.length > 0));
  $("locus").removeAttribute("aria-activedescendant");
}

function choose(step) {
  const rows = [...$("hits").children];
  if (!rows.length) return;
  const at = rows.findIndex((row) => row.getAttribute("aria-selected") === "true");
  const next = rows[(at + step + rows.length) % rows.length];
  rows.forEach((row) => row.setAttribute("aria-selected", String(row === next)));
  $("locus").setAttribute("aria-activedescendant", next.id);
}

let typing = 0;
function typed() {
  clearTimeout(typing);
  const text = $("locus").value.trim();
  if (!state.all.genes || text.length < 2 || parse(text)) return hits([]);
  typing = setTimeout(async () => {
    const {genes} = await ask("/page/genes", {q: text}).catch(() => ({genes: []}));
    if ($("locus").value.trim() === text && document.activeElement === $("locus")) hits(genes);
  }, 150);
}

function pan(share) {
  const frame = state.browser?.referenceFrameList[0];
  if (!frame || frame.chr === "all") return;
  const step = (frame.end - frame.start) * share, length = state.contigs.find(([name]) => name === frame.chr)?.[1];
  const start = Math.min(Math.max(0, frame.start + step), (length ?? Infinity) - (frame.end - frame.start));
  go(frame.chr, start, start + frame.end - frame.start);
}

// ---- statistics ---------------------------------------------------------------------------------
async function summarize() {
  const turn = state.turn, view = $("view-stats");
  const dataset = state.samples.flatMap((sample) => sample.tracks).find((track) => track.format === "bams3");
  if (!dataset) {
    const text = state.samples.length
      ? "Statistics come with BAMS3 datasets, which keep them beside the reads: bams3 convert makes one of a BAM or CRAM."
      : "Pick a sample on the left.";
    return view.replaceChildren(element("div", {class: "empty"}, text));
  }
  try {
    const [stats, depth] = await Promise.all([
      ask(`/page/stats/${path(dataset.key)}`), ask(`/page/depth/${path(dataset.key)}`, {bins: 1500}),
    ]);
    if (turn === state.turn) view.replaceChildren(statistics(stats, depth));
  } catch (error) {
    view.replaceChildren(element("div", {class: "empty"}, `No statistics: ${error.message ?? error}`));
  }
}

function show(tab) {
  state.tab = tab;
  for (const name of ["browser", "stats"]) {
    $(`tab-${name}`).setAttribute("aria-selected", String(name === tab));
    $(`tab-${name}`).tabIndex = name === tab ? 0 : -1;
    $(`view-${name}`).hidden = name !== tab;
  }
  if (tab === "browser") window.dispatchEvent(new Event("resize"));
}

function turnTo(tab) {
  show(tab);
  remember();
  if (tab === "stats") summarize();
}

// ---- hands --------------------------------------------------------------------------------------
const keys = {
  "/": () => { side(true); $("filter").focus(); },
  g: () => { $("locus").focus(); $("locus").select(); },
  "+": () => state.browser?.zoomIn(),
  "=": () => state.browser?.zoomIn(),
  "-": () => state.browser?.zoomOut(),
  ArrowLeft: () => pan(-0.5),
  ArrowRight: () => pan(0.5),
  b: () => turnTo("browser"),
  s: () => turnTo("stats"),
  "?": () => $("keys").showModal(),
};

function pressed(event) {
  const target = event.composedPath()[0];
  if (event.key === "Escape") return target.blur?.();
  const busy = /^(INPUT|SELECT|TEXTAREA)$/.test(target.tagName ?? "") || target.isContentEditable;
  const inTabs = target.getAttribute?.("role") === "tab" && event.key.startsWith("Arrow");
  if (busy || inTabs || event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
  const action = keys[event.key];
  if (!action) return;
  event.preventDefault();
  action();
}

const roomy = () => window.matchMedia("(min-width: 800px)").matches;

function side(open) {
  document.body.classList.toggle("aside", open);
  $("toggle").setAttribute("aria-expanded", String(open));
}

async function share() {
  const label = $("share").querySelector("span");
  try {
    await navigator.clipboard.writeText(location.href);
    label.textContent = "Copied";
  } catch {
    label.textContent = "Copy the address";
  }
  setTimeout(() => { label.textContent = "Share"; }, 2000);
}

function listen() {
  $("filter").addEventListener("input", list);
  $("toggle").addEventListener("click", () => side(!document.body.classList.contains("aside")));
  $("contig").addEventListener("change", () => go($("contig").value));
  $("zoom-in").addEventListener("click", () => state.browser?.zoomIn());
  $("zoom-out").addEventListener("click", () => state.browser?.zoomOut());
  $("share").addEventListener("click", share);
  $("help").addEventListener("click", () => $("keys").showModal());
  $("keys").querySelector("[data-close]").addEventListener("click", () => $("keys").close());
  $("sign-in").addEventListener("cancel", (event) => event.preventDefault());
  $("locus").addEventListener("input", typed);
  $("locus").addEventListener("blur", () => hits([]));
  $("locus").addEventListener("keydown", (event) => {
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      choose(event.key === "ArrowDown" ? 1 : -1);
    }
  });
  $("go").addEventListener("submit", (event) => {
    event.preventDefault();
    const row = $("hits").querySelector('[aria-selected="true"]');
    const done = row ? visit(row.gene) : search($("locus").value.trim());
    Promise.resolve(done).catch((error) => notice(error.message));
  });
  for (const tab of ["browser", "stats"]) {
    $(`tab-${tab}`).addEventListener("click", () => turnTo(tab));
    $(`tab-${tab}`).addEventListener("keydown", (event) => {
      if (event.key !== "ArrowLeft" && event.key !== "ArrowRight") return;
      const other = tab === "browser" ? "stats" : "browser";
      turnTo(other);
      $(`tab-${other}`).focus();
    });
  }
  document.addEventListener("keydown", pressed);
  window.addEventListener("hashchange", () => follow());
}

async function start() {
  listen();
  side(roomy());
  try {
    state.all = await ask("/page/samples");
  } catch (error) {
    return empty(`The samples cannot be listed: ${error.message ?? error}`);
  }
  $("locus").placeholder = state.all.genes ? "Locus or gene" : "Locus, as chr1:1,000-2,000";
  $("who").textContent = [state.all.user && `Signed in as ${state.all.user}.`, ...state.all.problems, `bams3 ${settings.version}`].filter(Boolean).join(" ");
  await follow();
}

start();
