use super::*;
use crate::record::iterate;
use crate::sam_format::format_sam;

fn header() -> Header {
    Header::new(b"@SQ\tSN:a\tLN:1000000\n@SQ\tSN:b\tLN:500\n", None).unwrap()
}

fn parse(text: &str) -> Result<Records> {
    parse_sam(text.as_bytes(), &header(), 7)
}

fn tags(tags: &str) -> Result<Vec<u8>> {
    let records = parse(&format!("r\t4\t*\t0\t0\t*\t*\t0\t0\t*\t*\t{tags}"))?;
    let tags = iterate(&records.data).next().map(|record| record.unwrap().tag_bytes().to_vec());
    Ok(tags.unwrap_or_default())
}

#[test]
fn lines_come_back() {
    let lines = "r\t99\ta\t100\t60\t2S4M\tb\t200\t150\tACGTNA\tIIIIII\tNM:i:3\tXB:B:S,1,700\n\
                 \t4\t*\t0\t0\t*\t*\t0\t0\t*\t*\tXZ:Z:\n";
    let records = parse(lines).unwrap();
    assert_eq!(records.count, 2);
    assert_eq!(format_sam(&records.data, &header()).unwrap(), lines.as_bytes());
    assert_eq!(parse(&lines.replace('\n', "\r\n")).unwrap(), records);
    assert_eq!(parse(lines.trim_end()).unwrap(), records);
}

#[test]
fn what_htslib_mends() {
    let records = parse("r\t0\ta\t0\t0\t*\t=\t5\t0\tacu\t*\t").unwrap();
    let text = format_sam(&records.data, &header()).unwrap();
    assert_eq!(text, b"r\t4\t*\t0\t0\t*\t*\t5\t0\tACT\t*\n");
}

#[test]
fn long_cigars() {
    let cigar = "1M1I".repeat(40_000);
    let bases = "A".repeat(80_000);
    let line = format!("r\t0\ta\t5\t9\t{cigar}\t*\t0\t0\t{bases}\t*\tXA:A:x\n");
    let records = parse(&line).unwrap();
    let record = iterate(&records.data).next().unwrap().unwrap();
    assert_eq!((record.raw_cigar().len(), record.cigar().len()), (2, 80_000));
    assert_eq!(record.end(), 40_004);
    assert_eq!(format_sam(&records.data, &header()).unwrap(), line.as_bytes());
}

#[test]
fn smallest_integer_types() {
    let kinds = [
        ("0", b'C'),
        ("255", b'C'),
        ("256", b'S'),
        ("65536", b'I'),
        ("4294967295", b'I'),
        ("-1", b'c'),
        ("-129", b's'),
        ("-32769", b'i'),
        ("-0", b'c'),
    ];
    for (value, kind) in kinds {
        assert_eq!(tags(&format!("XX:i:{value}")).unwrap()[2], kind, "{value}");
    }
}

#[test]
fn arrays_of_a_wrong_type_are_widened() {
    let kinds = [
        ("C,-1", b'c'),
        ("C,256", b'S'),
        ("c,128", b'C'),
        ("c,255", b'C' + 16),
        ("s,-40000", b'i'),
    ];
    for (value, kind) in kinds {
        assert_eq!(tags(&format!("XX:B:{value}")).unwrap()[3], kind, "{value}");
    }
    assert_eq!(tags("XX:B:f").unwrap(), b"XXBf\0\0\0\0");
}

#[test]
fn malformed_tags() {
    let bad = [
        "XX",
        "XX:i:",
        "XX:i:x",
        "XX:i:1x",
        "XX:i:4294967296",
        "XX:i:-2147483649",
        "X:i:1",
        "XX-i:1",
        "XX:q:1",
        "XX:A:",
        "XX:A:ab",
        "XX:f:",
        "XX:f:e",
        "XX:H:1",
        "XX:B:",
        "XX:B:c,",
        "XX:B:c1",
        "XX:B:q,1",
        "XX:B:I,4294967296",
        "XX:B:C,-0",
        "XX:B:f,x",
        "XX:Z:a\0",
        "XX:i:1\t\tYY:i:1",
        " X:i:1",
    ];
    for text in bad {
        assert!(tags(text).is_err(), "{text}");
    }
}

#[test]
fn errors_name_line_field_and_text() {
    let good = ["r", "0", "a", "5", "9", "3M", "b", "7", "0", "ACG", "III"];
    let bad = [
        (1, "FLAG", "x"),
        (2, "RNAME", "c"),
        (3, "POS", "-1"),
        (4, "MAPQ", "256"),
        (5, "CIGAR", "3"),
        (5, "CIGAR", "M"),
        (5, "CIGAR", "3Q"),
        (5, "CIGAR", "268435456M"),
        (5, "CIGAR", ""),
        (6, "RNEXT", "c"),
        (7, "PNEXT", "2147483649"),
        (8, "TLEN", "2147483648"),
        (9, "SEQ", "AC"),
        (10, "QUAL", "II"),
        (10, "QUAL", "I I"),
        (1, "FLAG", ""),
        (3, "POS", ""),
    ];
    for (at, field, text) in bad {
        let mut fields = good;
        fields[at] = text;
        let first = good.join("\t");
        let error = parse(&format!("{first}\n{}\n", fields.join("\t"))).unwrap_err().to_string();
        let expected = format!("line 8: {field} \"{text}\"");
        assert!(error.starts_with(&expected), "{error} instead of {expected}");
    }
    assert!(parse("r\t0\n").unwrap_err().to_string().contains("RNAME"));
    assert!(parse("\n").unwrap_err().to_string().contains("FLAG"));
}

#[test]
fn damaged_text_never_panics() {
    let line =
        b"r\t99\ta\t100\t60\t2S4M\tb\t200\t150\tACGTNA\tIIIIII\tNM:i:3\tXB:B:S,1,700\tXF:f:1e5\n"
            .repeat(2);
    let mut state = 1u64;
    let mut random = |limit: usize| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % limit
    };
    for _ in 0..100_000 {
        let mut bad = line.clone();
        for _ in 0..=random(3) {
            let at = random(bad.len());
            bad[at] = b"\t\n:,-+0123456789*=ACGT\0\xff"[random(24)];
        }
        if let Ok(records) = parse_sam(&bad, &header(), 1) {
            let text = format_sam(&records.data, &header()).unwrap();
            assert_eq!(parse_sam(&text, &header(), 1).unwrap(), records);
        }
    }
}
