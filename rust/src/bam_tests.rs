use super::*;
use crate::sam::parse_sam;
use crate::sam_format::format_sam;

fn header() -> Header {
    Header::new(b"@SQ\tSN:a\tLN:1000000\n@SQ\tSN:b\tLN:500\n", None).unwrap()
}

fn sample() -> Vec<u8> {
    let lines =
        b"r1\t99\ta\t100\t60\t2S4M\t=\t200\t150\tACGTNA\tIIIIII\tNM:i:3\tXB:B:S,1,700\tXZ:Z:text\n\
                  r2\t4\t*\t0\t0\t*\t*\t0\t0\t*\t*\tXF:f:1.5\tXH:H:1F\n";
    parse_sam(lines, &header(), 1).unwrap().data
}

#[test]
fn header_round_trip_and_truncation() {
    let bytes = bam_header_bytes(&header()).unwrap();
    let (back, length) = bam_header(&bytes).unwrap().unwrap();
    assert_eq!((back.contigs(), length), (header().contigs(), bytes.len()));
    for cut in 0..bytes.len() {
        assert!(bam_header(&bytes[..cut]).unwrap().is_none());
    }
    assert!(bam_header(b"@HD\t").is_err());
}

#[test]
fn canonical_is_a_fixed_point() {
    let data = sample();
    let records = parse_bam(&data, &header(), 0).unwrap();
    assert_eq!((&records.data, records.count), (&data, 2));
    assert_eq!(records.digest, digest::multiset(&data).unwrap());
}

#[test]
fn bin_is_recomputed_and_not_digested() {
    let mut data = sample();
    let digest = digest::multiset(&data).unwrap();
    data[4 + 10..4 + 12].copy_from_slice(&[9, 9]);
    assert_eq!(digest::multiset(&data).unwrap(), digest);
    assert_eq!(parse_bam(&data, &header(), 0).unwrap().data, sample());
}

#[test]
fn missing_nul_is_added() {
    let mut data = sample();
    data.remove(4 + FIXED + 2);
    data[0] -= 1;
    data[4 + 8] -= 1;
    assert_eq!(parse_bam(&data, &header(), 0).unwrap().data, sample());
}

#[test]
fn short_cigar_leaves_its_tag() {
    let line = b"r\t0\ta\t5\t9\t4S7N\t*\t0\t0\tACGT\tIIII\tXA:A:x\tCG:B:I,16,17,32\tXB:A:y\n";
    let records = parse_sam(line, &header(), 1).unwrap();
    let text = format_sam(&records.data, &header()).unwrap();
    assert_eq!(text, b"r\t0\ta\t5\t9\t1M1I2M\t*\t0\t0\tACGT\tIIII\tXA:A:x\tXB:A:y\n");
}

/// A small generator, so that no run differs from another.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % limit
    }
}

/// Whatever is accepted must also format, and be its own canonical form.
fn exercise(data: &[u8]) {
    let header = header();
    let _ = bam_complete(data);
    let _ = bam_header(data);
    let _ = format_sam(data, &header);
    let Ok(records) = parse_bam(data, &header, 0) else {
        return;
    };
    format_sam(&records.data, &header).unwrap();
    assert_eq!(parse_bam(&records.data, &header, 0).unwrap(), records);
}

#[test]
fn damaged_bytes_never_panic() {
    let data = sample();
    let mut random = Random(7);
    for _ in 0..200_000 {
        let mut bad = data.clone();
        for _ in 0..=random.below(3) {
            let at = random.below(bad.len());
            bad[at] = random.below(256) as u8;
        }
        bad.truncate(data.len() - random.below(2) * random.below(data.len()));
        exercise(&bad);
    }
}
