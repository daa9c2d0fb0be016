#!/usr/bin/env bash
# From an aligner to a BAMS3 dataset and back, on simulated reads. `make demo` runs it.
#   recipes/demo.sh [DEST]      DEST: where the dataset goes; a path or s3://bucket/prefix
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'cd / && rm -rf "$work"' EXIT
dest=${1:-sample.bams3}
case ${1:-} in "" | /* | *://*) ;; *) dest=$PWD/$dest ;; esac
bold='' plain=''
if [ -t 1 ] && [ -z "${NO_COLOR:-}" ]; then bold=$'\033[1m' plain=$'\033[0m'; fi

say() { printf '\n%s$ %s%s\n' "$bold" "$*" "$plain"; }
run() { say "$@"; "$@"; }
has() { command -v "$1" >/dev/null; }

has bams3 || { echo "error: bams3 is not installed; run \`make demo\`" >&2; exit 1; }

say "python recipes/simulate.py   # a random genome, 20,000 pairs with SNPs and errors"
python3 "$here/simulate.py" "$work"
cd "$work"

if has bwa; then
    bwa index ref.fa 2>/dev/null
    name="bwa mem -t 2 ref.fa r1.fq r2.fq"
    align() { bwa mem -v 1 -t 2 -R '@RG\tID:1\tSM:sample' ref.fa r1.fq r2.fq 2>/dev/null; }
elif has minimap2; then
    name="minimap2 -ax sr -t 2 ref.fa r1.fq r2.fq"
    align() { minimap2 -ax sr -t 2 -R '@RG\tID:1\tSM:sample' ref.fa r1.fq r2.fq 2>/dev/null; }
else
    echo "error: the demo needs an aligner: install bwa or minimap2" >&2
    exit 1
fi

say "$name | bams3 convert --stdin $dest --workers 2 --sort-buffer 1G --chunk-size 1M"
align | tee aligned.sam | bams3 convert --stdin "$dest" --workers 2 --sort-buffer 1G --chunk-size 1M

say "bams3 query $dest chr1:100,000-100,200 | head -3"
bams3 query "$dest" chr1:100,000-100,200 >region.sam
head -3 region.sam | cut -c 1-100
run bams3 query "$dest" -c chr1:100,000-100,200
run bams3 stats "$dest"
run bams3 to-bam "$dest" back.bam

if has samtools; then
    say "samtools sort -o sorted.bam aligned.sam && bams3 verify $dest --against sorted.bam"
    samtools sort -@ 1 -o sorted.bam aligned.sam 2>/dev/null
    bams3 verify "$dest" --against sorted.bam
    say "samtools view sorted.bam | cmp - <(samtools view back.bam)"
    cmp <(samtools view sorted.bam) <(samtools view back.bam)
    echo "record for record the same"
    say "sizes in bytes"
    printf '%12d  %s\n' "$(stat -c %s sorted.bam)" "sorted.bam (samtools sort)"
else
    echo "samtools is missing: verifying against the aligner's output alone" >&2
    run bams3 verify "$dest" --against aligned.sam
fi
[ -d "$dest" ] && printf '%12d  %s\n' "$(find "$dest" -type f -printf '%s\n' | awk '{s+=$1} END {print s}')" "sample.bams3"
printf '\nDone.\n'
