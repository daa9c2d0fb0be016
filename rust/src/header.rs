//! SAM header: the text as it came, and the contigs that record numbers refer to.

use std::collections::HashMap;

use crate::error::{quote, Error, Result};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contig {
    pub name: String,
    pub length: u64,
}

/// Header text, verbatim, and contig dictionary.
#[derive(Debug, Clone)]
pub struct Header {
    text: Vec<u8>,
    contigs: Vec<Contig>,
    sort_order: String,
    numbers: HashMap<Vec<u8>, i32>,
}

impl Header {
    /// Take contigs from the @SQ lines, or from `dictionary`: that of a BAM file, to which its
    /// records refer. @SQ lines beside a dictionary must name the same contigs in the same order.
    pub fn new(text: &[u8], dictionary: Option<Vec<Contig>>) -> Result<Self> {
        let mut header = Header {
            text: text.to_vec(),
            contigs: Vec::new(),
            sort_order: "unknown".into(),
            numbers: HashMap::new(),
        };
        let aliases = header.read_lines(dictionary.is_none())?;
        header.adopt(dictionary)?;
        header.number_contigs()?;
        header.number_aliases(aliases);
        Ok(header)
    }

    pub fn text(&self) -> &[u8] {
        &self.text
    }

    pub fn contigs(&self) -> &[Contig] {
        &self.contigs
    }

    /// SO of the @HD line; "unknown" where there is none.
    pub fn sort_order(&self) -> &str {
        &self.sort_order
    }

    /// Number of the contig of that name, or alternative name (AN).
    pub fn contig_number(&self, name: &[u8]) -> Option<i32> {
        self.numbers.get(name).copied()
    }

    fn read_lines(&mut self, need_length: bool) -> Result<Vec<(String, String)>> {
        let text = std::mem::take(&mut self.text);
        let mut aliases = Vec::new();
        for (number, line) in lines(&text).enumerate() {
            let read = self.read_line(line, need_length, &mut aliases);
            read.map_err(|error| error.within(&format!("header line {}", number + 1)))?;
        }
        self.text = text;
        Ok(aliases)
    }

    fn read_line(
        &mut self,
        line: &[u8],
        need_length: bool,
        aliases: &mut Vec<(String, String)>,
    ) -> Result<()> {
        check_line(line)?;
        match &line[..3] {
            b"@HD" => {
                if let Some(order) = tag(line, b"SO") {
                    self.sort_order = utf8(order)?;
                }
            }
            b"@SQ" => {
                let contig = read_contig(line, need_length)?;
                if let Some(names) = tag(line, b"AN") {
                    aliases.push((contig.name.clone(), utf8(names)?));
                }
                self.contigs.push(contig);
            }
            b"@RG" | b"@PG" if tag(line, b"ID").is_none() => {
                return Err(Error::input(format!(
                    "{} without ID: {}",
                    quote(&line[..3]),
                    quote(line)
                )));
            }
            _ => {}
        }
        Ok(())
    }

    fn adopt(&mut self, dictionary: Option<Vec<Contig>>) -> Result<()> {
        let Some(dictionary) = dictionary else {
            return Ok(());
        };
        let stated = self.contigs.iter().map(|contig| &contig.name);
        if !self.contigs.is_empty() && !stated.eq(dictionary.iter().map(|contig| &contig.name)) {
            return Err(Error::input(
                "the @SQ lines and the contig dictionary of the BAM header disagree",
            ));
        }
        self.contigs = dictionary;
        Ok(())
    }

    fn number_contigs(&mut self) -> Result<()> {
        for (number, contig) in self.contigs.iter().enumerate() {
            let name = contig.name.as_bytes();
            // A tab or line feed in a name would forge fields of SAM output.
            if name.is_empty() || name.iter().any(u8::is_ascii_control) {
                return Err(Error::input(format!("contig name {} is not allowed", quote(name))));
            }
            let number = i32::try_from(number).map_err(|_| Error::input("too many contigs"))?;
            if self.numbers.insert(name.to_vec(), number).is_some() {
                return Err(Error::input(format!("contig {} is listed twice", quote(name))));
            }
        }
        Ok(())
    }

    /// A contig's own name (SN) goes before any alias, as in htslib.
    fn number_aliases(&mut self, aliases: Vec<(String, String)>) {
        for (name, list) in aliases {
            let Some(number) = self.contig_number(name.as_bytes()) else {
                continue;
            };
            for alias in list.split(',').filter(|alias| !alias.is_empty()) {
                self.numbers.entry(alias.into()).or_insert(number);
            }
        }
    }
}

/// Length of the header lines at the start of SAM text; None if the end of them is not in `data`.
pub fn sam_header_length(data: &[u8], whole: bool) -> Option<usize> {
    let mut length = 0;
    while data.get(length) == Some(&b'@') {
        match memchr::memchr(b'\n', &data[length..]) {
            Some(end) => length += end + 1,
            None => return whole.then_some(data.len()),
        }
    }
    (whole || length < data.len()).then_some(length)
}

fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let lines = text.split_inclusive(|&byte| byte == b'\n');
    lines.map(|line| {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        line.strip_suffix(b"\r").unwrap_or(line)
    })
}

fn check_line(line: &[u8]) -> Result<()> {
    let typed =
        line.len() >= 3 && line[0] == b'@' && line[1..3].iter().all(u8::is_ascii_alphabetic);
    if !typed || !matches!(line.get(3), None | Some(b'\t')) {
        return Err(Error::input(format!("{} does not begin with @ and two letters", quote(line))));
    }
    if line.contains(&0) {
        return Err(Error::input(format!("NUL in {}", quote(line))));
    }
    Ok(())
}

fn tags<'a>(line: &'a [u8], key: &'a [u8; 2]) -> impl Iterator<Item = &'a [u8]> {
    let fields = line.split(|&byte| byte == b'\t').skip(1);
    fields.filter_map(move |field| field.strip_prefix(key)?.strip_prefix(b":"))
}

fn tag<'a>(line: &'a [u8], key: &'a [u8; 2]) -> Option<&'a [u8]> {
    tags(line, key).next()
}

fn read_contig(line: &[u8], need_length: bool) -> Result<Contig> {
    let missing = |key: &str| Error::input(format!("no {key} in {}", quote(line)));
    let name = utf8(tag(line, b"SN").ok_or_else(|| missing("SN"))?)?;
    let text = tag(line, b"LN").ok_or_else(|| missing("LN"))?;
    if tags(line, b"LN").any(|other| other != text) {
        return Err(Error::input(format!("several lengths in {}", quote(line))));
    }
    let length = std::str::from_utf8(text).ok().and_then(|text| text.parse::<u64>().ok());
    let length =
        length.filter(|&length| i64::try_from(length).is_ok() && (length > 0 || !need_length));
    let length = length
        .ok_or_else(|| Error::input(format!("LN {} of contig {name} is no length", quote(text))))?;
    Ok(Contig { name, length })
}

fn utf8(text: &[u8]) -> Result<String> {
    let text = std::str::from_utf8(text);
    text.map(str::to_owned).map_err(|_| Error::input("header text is not UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contigs_and_order() {
        let text = b"@HD\tVN:1.6\tSO:coordinate\r\n@SQ\tSN:a\tLN:10\tAN:x,b\n@SQ\tLN:7\tSN:b\n@CO\tfree text";
        let header = Header::new(text, None).unwrap();
        assert_eq!(header.sort_order(), "coordinate");
        assert_eq!(header.contigs().len(), 2);
        assert_eq!(header.contig_number(b"b"), Some(1));
        assert_eq!(header.contig_number(b"x"), Some(0));
        assert_eq!(header.text(), text);
    }

    #[test]
    fn malformed_headers() {
        let bad: [&[u8]; 9] = [
            b"@SQ\tSN:a\n",
            b"@SQ\tLN:1\n",
            b"@SQ\tSN:a\tLN:x\n",
            b"@SQ\tSN:a\tLN:0\n",
            b"@SQ\tSN:a\tLN:1\n@SQ\tSN:a\tLN:1\n",
            b"@RG\tSM:x\n",
            b"\n",
            b"@H\n",
            b"@CO\ta\0b\n",
        ];
        for text in bad {
            assert!(Header::new(text, None).is_err(), "{}", quote(text));
        }
    }

    #[test]
    fn dictionary_must_agree() {
        let contig = |name: &str| Contig { name: name.into(), length: 5 };
        assert!(Header::new(b"@SQ\tSN:a\tLN:5\n", Some(vec![contig("b")])).is_err());
        assert!(Header::new(b"@SQ\tSN:a\tLN:5\n", Some(vec![contig("a")])).is_ok());
        let bare = Header::new(b"", Some(vec![contig("b")])).unwrap();
        assert_eq!(bare.contigs(), [contig("b")]);
    }

    #[test]
    fn header_length() {
        assert_eq!(sam_header_length(b"@HD\tx\nr\t4", false), Some(6));
        assert_eq!(sam_header_length(b"@HD\tx\n", false), None);
        assert_eq!(sam_header_length(b"@HD\tx\n", true), Some(6));
        assert_eq!(sam_header_length(b"@HD\tx", true), Some(5));
        assert_eq!(sam_header_length(b"r\t4", false), Some(0));
        assert_eq!(sam_header_length(b"", false), None);
        assert_eq!(sam_header_length(b"", true), Some(0));
    }
}
