//! Speed of the formats: `cargo test --release speed -- --ignored --nocapture`.

use std::fmt::Write;
use std::time::Instant;

use crate::bam::parse_bam;
use crate::bgzf::{bgzf_deflate, bgzf_inflate};
use crate::header::Header;
use crate::sam::parse_sam;
use crate::sam_format::format_sam;

const ROUNDS: u32 = 10;

/// Short reads as an aligner writes them: 150 bases, binned qualities, eight tags.
fn short_reads(count: u32) -> String {
    let mut state = 1u32;
    let mut random = move |limit: u32| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) % limit
    };
    let mut text = String::new();
    for number in 0..count {
        let bases: String = (0..150).map(|_| b"ACGT"[random(4) as usize] as char).collect();
        let qualities: String =
            (0..150).map(|_| b"FFFFFFF:,#"[random(10) as usize] as char).collect();
        let (tile, pos) = (1101 + random(300), number * 7 + 1000);
        let _ = writeln!(
            text,
            "A00123:45:HXXXXDSXX:1:{tile}:{}:{number}\t99\tchr1\t{pos}\t60\t150M\t=\t{}\t450\t{bases}\t{qualities}\t\
             NM:i:1\tMD:Z:75A74\tMC:Z:150M\tAS:i:145\tXS:i:20\tRG:Z:sample.1\tMQ:i:60\tms:i:5400",
            random(30000), pos + 300,
        );
    }
    text
}

fn measure<T>(name: &str, bytes: usize, run: impl Fn() -> T) -> T {
    let mut best = f64::MAX;
    let mut result = run();
    for _ in 0..ROUNDS {
        let start = Instant::now();
        result = run();
        best = best.min(start.elapsed().as_secs_f64());
    }
    println!("{name:13} {:6.0} MB/s", bytes as f64 / best / 1e6);
    result
}

#[test]
#[ignore = "a benchmark"]
fn speed() {
    let header = Header::new(b"@SQ\tSN:chr1\tLN:248956422\n", None).unwrap();
    let text = short_reads(20_000);
    let records =
        measure("parse_sam", text.len(), || parse_sam(text.as_bytes(), &header, 1).unwrap());
    let back = measure("format_sam", text.len(), || format_sam(&records.data, &header).unwrap());
    assert_eq!(back, text.as_bytes());
    let data = &records.data;
    measure("parse_bam", data.len(), || parse_bam(data, &header, 0).unwrap());
    let packed = measure("bgzf_deflate", data.len(), || bgzf_deflate(data, 6).unwrap());
    measure("bgzf_inflate", data.len(), || bgzf_inflate(&packed).unwrap());
}
