// What igv.js is told: reference and tracks, from what the server says of files.

export const path = (key) => key.split("/").map(encodeURIComponent).join("/");
const address = (prefix, key) => new URL(`${prefix}/${path(key)}`, location.href).href;
const file = (key) => address("/files", key);

export const READS_WITHIN = 30_000;  // bases of a view in which reads are drawn
const BAI_REACH = 2 ** 29;  // a BAI knows no position beyond

/** The genome: a FASTA where one fits, else the names and lengths that a file of `key` has. */
export function genome(key, reference) {
  if (!reference) return {id: "bams3-lengths", format: "chromsizes", fastaURL: address("/page/lengths", key)};
  return {
    id: "bams3-reference",
    fastaURL: file(reference.key),
    indexURL: file(reference.fai),
    ...(reference.gzi && {compressedIndexURL: file(reference.gzi)}),
  };
}

/** The tracks of igv.js for one of ours, in the order in which they are drawn. */
export function drawn(track, {contigs, depth}) {
  const longest = Math.max(0, ...contigs.map(([, length]) => length));
  const base = {name: track.name, key: track.key, removable: false};
  if (track.kind === "alignment") {
    const reads = {...base, type: "alignment", height: 420, visibilityWindow: READS_WITHIN, ...source(track, longest)};
    return track.format === "bams3" ? [coverage(track, depth), reads] : [reads];
  }
  if (track.kind === "variant") {
    return [{...base, type: "variant", height: 90, visibilityWindow: 1_000_000, ...indexed(track)}];
  }
  const type = track.kind === "signal" ? "wig" : "annotation";
  return [{...base, type, height: type === "wig" ? 60 : 70, ...indexed(track)}];
}

function source(track, longest) {
  if (track.format !== "bams3") return indexed(track);
  const url = file(`${track.key}.bam`);
  return {format: "bam", url, indexURL: `${url}.${longest < BAI_REACH ? "bai" : "csi"}`};
}

function indexed(track) {
  return {format: track.format, url: file(track.key), ...(track.index ? {indexURL: file(track.index)} : {indexed: false})};
}

function coverage(track, depth) {
  return {
    type: "wig", name: `${track.name} depth`, key: `${track.key}#depth`, height: 60, color: "#5b8f8a",
    min: 0, autoscale: true, removable: false,
    featureSource: new DepthSource(track.key, depth),
  };
}

/** Depth from the server, whatever the width of the view: exact where few reads lie in it. */
class DepthSource {
  constructor(key, depth) {
    this.key = key;
    this.depth = depth;  // (key, parameters) to JSON; genome() to that of the browser
    this.searchable = false;
  }

  async getFeatures({chr, start, end, bpPerPixel}) {
    if (chr === "all") return this.everywhere();
    const from = Math.max(0, Math.floor(start)), to = Math.ceil(end);
    const bins = Math.max(100, Math.ceil((2 * (to - from)) / Math.max(bpPerPixel, 1)));
    const found = await this.depth.ask(this.key, {contig: chr, start: from, end: to, bins});
    return features(chr, found.start, found.width, found.means, (at) => at);
  }

  async everywhere() {
    const {contigs} = await this.depth.ask(this.key, {bins: 1500});
    const genome = this.depth.genome();
    return contigs
      .filter(({contig}) => genome.wgChromosomeNames?.includes(contig))
      .flatMap(({contig, width, means}) =>
        features("all", 0, width, means, (at) => genome.getGenomeCoordinate(contig, at)));
  }
}

function features(chr, start, width, means, place) {
  return means.flatMap((value, n) => value > 0
    ? [{chr, start: place(start + n * width), end: place(start + (n + 1) * width), value}]
    : []);
}
