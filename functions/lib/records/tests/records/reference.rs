//! The rules once more, one byte at a time and with no thought of speed; shares no code with the
//! library.

use records::{Count, Csv, Error, Model, Partial, RangeCounter, Terminator};

/// What the rules say: a number, or `None` for an unterminated quote.
pub fn count(model: &Model, bytes: &[u8]) -> Option<u64> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    match model {
        Model::Lines { terminator } => Some(lines(bytes, *terminator).len() as u64),
        Model::Jsonl => {
            let lines = lines(bytes, Terminator::Lf);
            Some(lines.iter().filter(|line| !line.iter().all(|b| b" \t\r".contains(b))).count()
                as u64)
        }
        Model::Csv(csv) => rows(bytes, csv),
        _ => unreachable!(),
    }
}

/// Length of the terminator at the start of the bytes.
fn terminator_at(bytes: &[u8], terminator: Terminator) -> usize {
    let options: &[&[u8]] = match terminator {
        Terminator::Auto => &[b"\r\n", b"\n", b"\r"],
        Terminator::Lf => &[b"\n"],
        Terminator::CrLf => &[b"\r\n"],
        Terminator::Cr => &[b"\r"],
    };
    options.iter().find(|option| bytes.starts_with(option)).map_or(0, |option| option.len())
}

fn lines(mut bytes: &[u8], terminator: Terminator) -> Vec<Vec<u8>> {
    let (mut lines, mut line) = (Vec::new(), Vec::new());
    while !bytes.is_empty() {
        match terminator_at(bytes, terminator) {
            0 => {
                line.push(bytes[0]);
                bytes = &bytes[1..];
            }
            length => {
                lines.push(std::mem::take(&mut line));
                bytes = &bytes[length..];
            }
        }
    }
    if !line.is_empty() {
        lines.push(line);
    }
    lines
}

/// A recursive-descent reader: rows of fields.
fn rows(mut bytes: &[u8], csv: &Csv) -> Option<u64> {
    let mut rows = 0;
    while !bytes.is_empty() {
        let blank = terminator_at(bytes, csv.terminator);
        if blank > 0 {
            bytes = &bytes[blank..];
            continue;
        }
        rows += 1;
        loop {
            bytes = field(bytes, csv)?;
            if bytes.first() == Some(&csv.delimiter) {
                bytes = &bytes[1..];
                continue;
            }
            bytes = &bytes[terminator_at(bytes, csv.terminator)..];
            break;
        }
    }
    Some(rows)
}

/// Reads one field; gives what stands after it: nothing, a delimiter or a terminator.
fn field<'a>(mut bytes: &'a [u8], csv: &Csv) -> Option<&'a [u8]> {
    if csv.quote.is_some() && bytes.first().copied() == csv.quote {
        bytes = &bytes[1..];
        loop {
            let (&byte, rest) = bytes.split_first()?;
            bytes = rest;
            if csv.escape == Some(byte) {
                bytes = bytes.get(1..)?;
            } else if csv.quote == Some(byte) {
                if bytes.first().copied() == csv.quote {
                    bytes = &bytes[1..];
                } else {
                    break;
                }
            }
        }
    }
    while let Some((&byte, rest)) = bytes.split_first() {
        if byte == csv.delimiter || terminator_at(bytes, csv.terminator) > 0 {
            break;
        }
        bytes = if csv.escape == Some(byte) { rest.get(1..).unwrap_or_default() } else { rest };
    }
    Some(bytes)
}

/// The library's count of the whole in one range and one piece.
pub fn whole(model: &Model, bytes: &[u8]) -> Result<Count, Error> {
    let mut counter = RangeCounter::first(model).unwrap();
    counter.update(bytes);
    counter.finish().finish(model, 0, 0)
}

/// A range's partial, as the first or a later one.
pub fn partial(model: &Model, bytes: &[u8], first: bool) -> Partial {
    let counter = if first { RangeCounter::first(model) } else { RangeCounter::any(model) };
    let mut counter = counter.unwrap();
    counter.update(bytes);
    counter.finish()
}

/// The number, or `None` for an unterminated quote.
pub fn number(answer: Result<Count, Error>) -> Option<u64> {
    match answer {
        Ok(count) => Some(count.records),
        Err(Error::UnterminatedQuote { .. }) => None,
        Err(error) => panic!("{error}"),
    }
}

/// Every model that has rules of its own about bytes.
pub fn models() -> Vec<Model> {
    let mut models = vec![Model::Jsonl];
    for terminator in [Terminator::Auto, Terminator::Lf, Terminator::CrLf, Terminator::Cr] {
        models.push(Model::Lines { terminator });
        for quote in [Some(b'"'), None] {
            for escape in [Some(b'\\'), None] {
                models.push(Model::Csv(Csv { delimiter: b',', quote, escape, terminator }));
            }
        }
    }
    models
}

/// A small generator of pseudo-random numbers.
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit as u64) as usize
    }

    /// Bytes that look like CSV gone wild.
    pub fn text(&mut self, length: usize) -> Vec<u8> {
        let letters: &[u8] = match self.below(4) {
            0 => b"a,\"\n\r\\ ",
            1 => b"aaaaaaaaaaaa,,,\"\n",
            2 => b"abcdefgh,,\n\n\r",
            _ => b"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa,\"\n\r\\ \xef\xbb\xbf\xff",
        };
        let mut bytes: Vec<u8> = (0..length).map(|_| letters[self.below(letters.len())]).collect();
        if self.below(8) == 0 {
            bytes.splice(0..0, *b"\xef\xbb\xbf");
        }
        bytes
    }
}
