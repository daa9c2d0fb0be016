//! SAM alignment lines into BAM records: what htslib makes of each line, in canonical form.

use memchr::memchr;

use crate::bam;
use crate::cigar::{Cigar, LETTERS};
use crate::error::{quote, Error, Result};
use crate::header::Header;
use crate::numbers;
use crate::record::{Records, FIXED, UNMAPPED};
use crate::sam_tags::push_tags;
use crate::sequence::push_packed;

const LONGEST_NAME: usize = 254;
const LONGEST_OPERATION: u64 = (1 << 28) - 1;
const NO_OPERATION: u8 = 255;
const OPERATIONS: [u8; 256] = operations();

/// What is wrong with a field of a line. Boxed, so that results stay small.
pub struct Fault {
    field: &'static str,
    text: Vec<u8>,
    problem: String,
}

pub type Checked<T> = std::result::Result<T, Box<Fault>>;

#[cold]
pub fn fault<T>(field: &'static str, text: &[u8], problem: impl Into<String>) -> Checked<T> {
    // Only so much of the text as a message shows.
    let text = text[..text.len().min(64)].to_vec();
    Err(Box::new(Fault { field, text, problem: problem.into() }))
}

impl Fault {
    fn at_line(&self, line: u64) -> Error {
        let Fault { field, text, problem } = self;
        Error::input(format!("line {line}: {field} {} {problem}", quote(text)))
    }
}

/// Parse whole alignment lines, of which the first has the number `first_line` in its file.
pub fn parse_sam(data: &[u8], header: &Header, first_line: u64) -> Result<Records> {
    let mut parser = Parser::new(header, data.len());
    let mut rest = data;
    let mut number = first_line;
    while !rest.is_empty() {
        let end = memchr(b'\n', rest).unwrap_or(rest.len());
        let line = rest[..end].strip_suffix(b"\r").unwrap_or(&rest[..end]);
        parser.line(line).map_err(|fault| fault.at_line(number))?;
        rest = rest.get(end + 1..).unwrap_or(&[]);
        number += 1;
    }
    Ok(parser.records)
}

struct Parser<'a> {
    header: &'a Header,
    records: Records,
    last_name: Vec<u8>,
    last_tid: i32,
}

/// Fields of a record before they are written to its fixed part.
#[derive(Default)]
struct Fixed {
    flag: u16,
    tid: i32,
    pos: i32,
    mapq: u8,
    operations: usize,
    mate_tid: i32,
    mate_pos: i32,
    template_length: i32,
    bases: usize,
}

impl<'a> Parser<'a> {
    fn new(header: &'a Header, size: usize) -> Self {
        let data = Vec::with_capacity(size);
        let records = Records { data, ..Records::default() };
        Parser { header, records, last_name: Vec::new(), last_tid: 0 }
    }

    fn line(&mut self, line: &[u8]) -> Checked<()> {
        let mut fields = Fields { rest: Some(line) };
        let mut fixed = Fixed::default();
        let start = self.records.data.len();
        let name = self.name(&mut fields)?;
        fixed.flag = fields.parse("FLAG", numbers::flag)?;
        self.place(&mut fields, &mut fixed)?;
        let cigar = self.cigar(&mut fields, &mut fixed)?;
        self.mate(&mut fields, &mut fixed)?;
        self.sequence(&mut fields, &mut fixed, cigar)?;
        push_tags(fields.rest, &mut self.records.data)?;
        fixed.write(&mut self.records.data[start + 4..], name);
        self.seal(start, cigar, &fixed).or_else(|error| fault("record", line, error.to_string()))
    }

    /// Append room for the fixed fields and the name; return the length of the name with its NUL.
    fn name(&mut self, fields: &mut Fields) -> Checked<u8> {
        let name = fields.next("QNAME")?;
        if name.len() > LONGEST_NAME {
            return fault("QNAME", name, format!("is longer than {LONGEST_NAME} characters"));
        }
        if memchr(0, name).is_some() {
            return fault("QNAME", name, "holds a NUL");
        }
        let out = &mut self.records.data;
        out.extend_from_slice(&[0; 4 + FIXED]);
        out.extend_from_slice(name);
        out.push(0);
        Ok(name.len() as u8 + 1)
    }

    fn place(&mut self, fields: &mut Fields, fixed: &mut Fixed) -> Checked<()> {
        fixed.tid = self.contig("RNAME", fields.next("RNAME")?)?;
        fixed.pos = fields.position("POS")?;
        if fixed.pos < 0 {
            fixed.tid = -1;
        }
        if fixed.tid < 0 {
            fixed.flag |= UNMAPPED;
        }
        fixed.mapq = fields.parse("MAPQ", |text| numbers::unsigned(text, 255))? as u8;
        Ok(())
    }

    fn mate(&mut self, fields: &mut Fields, fixed: &mut Fixed) -> Checked<()> {
        fixed.mate_tid = match fields.next("RNEXT")? {
            b"=" => fixed.tid,
            name => self.contig("RNEXT", name)?,
        };
        fixed.mate_pos = fields.position("PNEXT")?;
        if fixed.mate_pos < 0 {
            fixed.mate_tid = -1;
        }
        let length = |text: &[u8]| numbers::signed(text, i32::MAX as u64);
        fixed.template_length = fields.parse("TLEN", length)? as i32;
        Ok(())
    }

    fn contig(&mut self, field: &'static str, name: &[u8]) -> Checked<i32> {
        if name == b"*" {
            return Ok(-1);
        }
        // Most lines name the contig of the line before.
        if name != self.last_name || name.is_empty() {
            let Some(tid) = self.header.contig_number(name) else {
                return fault(field, name, "names no contig of the header (@SQ)");
            };
            self.last_tid = tid;
            self.last_name.clear();
            self.last_name.extend_from_slice(name);
        }
        Ok(self.last_tid)
    }

    /// Append the operations; return where they begin.
    fn cigar(&mut self, fields: &mut Fields, fixed: &mut Fixed) -> Checked<usize> {
        let text = fields.next("CIGAR")?;
        let start = self.records.data.len();
        if text == b"*" {
            fixed.flag |= UNMAPPED;
        } else {
            push_cigar(text, &mut self.records.data)?;
            fixed.operations = (self.records.data.len() - start) / 4;
        }
        Ok(start)
    }

    fn sequence(&mut self, fields: &mut Fields, fixed: &mut Fixed, cigar: usize) -> Checked<()> {
        let bases = fields.next("SEQ")?;
        let out = &mut self.records.data;
        if bases != b"*" {
            let covered = Cigar(&out[cigar..]).query_length();
            if fixed.operations > 0 && covered != bases.len() as i64 {
                let length = bases.len();
                return fault("SEQ", bases, format!("has {length} bases, CIGAR covers {covered}"));
            }
            fixed.bases = bases.len();
            if let Err(at) = push_packed(bases, out) {
                return fault("SEQ", &bases[at..], "begins with what is no base");
            }
        }
        push_qualities(fields.next("QUAL")?, fixed.bases, out)
    }

    /// Bring the record into canonical form, and add it to count and digest.
    fn seal(&mut self, start: usize, cigar: usize, fixed: &Fixed) -> Result<()> {
        let out = &mut self.records.data;
        if fixed.operations > usize::from(u16::MAX) {
            bam::move_long_cigar(out, cigar, fixed.operations, fixed.bases)?;
        }
        let digest = bam::seal(out, start)?;
        self.records.digest = self.records.digest.wrapping_add(digest);
        self.records.count += 1;
        Ok(())
    }
}

impl Fixed {
    fn write(&self, record: &mut [u8], name: u8) {
        // A longer CIGAR leaves the two operations of its placeholder.
        let operations = u16::try_from(self.operations).unwrap_or(2);
        record[0..4].copy_from_slice(&self.tid.to_le_bytes());
        record[4..8].copy_from_slice(&self.pos.to_le_bytes());
        record[8..10].copy_from_slice(&[name, self.mapq]);
        record[12..14].copy_from_slice(&operations.to_le_bytes());
        record[14..16].copy_from_slice(&self.flag.to_le_bytes());
        record[16..20].copy_from_slice(&(self.bases as u32).to_le_bytes());
        record[20..24].copy_from_slice(&self.mate_tid.to_le_bytes());
        record[24..28].copy_from_slice(&self.mate_pos.to_le_bytes());
        record[28..32].copy_from_slice(&self.template_length.to_le_bytes());
    }
}

/// The tab-separated fields of a line; `rest` is None after the last.
struct Fields<'a> {
    rest: Option<&'a [u8]>,
}

impl<'a> Fields<'a> {
    #[inline]
    fn next(&mut self, field: &'static str) -> Checked<&'a [u8]> {
        let Some(rest) = self.rest else {
            return fault(field, b"", "is missing: the line ends before it");
        };
        let end = memchr(b'\t', rest).unwrap_or(rest.len());
        self.rest = rest.get(end + 1..);
        Ok(&rest[..end])
    }

    fn parse<T>(
        &mut self,
        field: &'static str,
        parse: impl Fn(&[u8]) -> numbers::Parsed<T>,
    ) -> Checked<T> {
        let text = self.next(field)?;
        parse(text).or_else(|problem| fault(field, text, problem))
    }

    /// Parse a 1-based position into a 0-based one, -1 for none.
    fn position(&mut self, field: &'static str) -> Checked<i32> {
        let number = self.parse(field, |text| numbers::unsigned(text, 1 << 31))?;
        Ok((number as i64 - 1) as i32)
    }
}

const fn operations() -> [u8; 256] {
    let mut table = [NO_OPERATION; 256];
    let mut code = 0;
    while code < LETTERS.len() {
        table[LETTERS[code] as usize] = code as u8;
        code += 1;
    }
    table
}

fn push_cigar(text: &[u8], out: &mut Vec<u8>) -> Checked<()> {
    let mut length = 0u64;
    let mut digits = 0;
    for &byte in text {
        let digit = byte.wrapping_sub(b'0');
        if digit <= 9 {
            length = (length * 10 + u64::from(digit)).min(LONGEST_OPERATION + 1);
            digits += 1;
            continue;
        }
        let code = OPERATIONS[usize::from(byte)];
        if code == NO_OPERATION || digits == 0 || length > LONGEST_OPERATION {
            return fault("CIGAR", text, "is malformed");
        }
        out.extend_from_slice(&((length as u32) << 4 | u32::from(code)).to_le_bytes());
        (length, digits) = (0, 0);
    }
    if text.is_empty() || digits > 0 {
        return fault("CIGAR", text, "ends without an operation");
    }
    Ok(())
}

fn push_qualities(text: &[u8], bases: usize, out: &mut Vec<u8>) -> Checked<()> {
    let start = out.len();
    if text == b"*" {
        out.resize(start + bases, 0xff);
        return Ok(());
    }
    if text.len() != bases {
        let length = text.len();
        return fault("QUAL", text, format!("has {length} values, SEQ has {bases} bases"));
    }
    out.extend(text.iter().map(|byte| byte.wrapping_sub(b'!')));
    let union = out[start..].iter().fold(0, |union, quality| union | quality);
    if union & 0x80 != 0 {
        return fault("QUAL", text, "holds a character that is no quality");
    }
    Ok(())
}

#[cfg(test)]
#[path = "sam_tests.rs"]
mod tests;
