//! The rules once more, one byte at a time and with no thought of speed; shares no code with the
//! library.

use records::{Count, Csv, Error, Level, Model, Partial, RangeCounter, Terminator};

/// What the rules say: a number of records, or the code of the refusal.
pub type Verdict = Result<u64, &'static str>;

/// The verdict over a whole file of a text model.
pub fn count(model: &Model, bytes: &[u8]) -> Verdict {
    if is_wide(bytes) {
        return Err("records.utf16");
    }
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    match model {
        Model::Lines { terminator } => Ok(lines(bytes, *terminator).len() as u64),
        Model::Jsonl => {
            let lines = lines(bytes, Terminator::Lf);
            Ok(lines.iter().filter(|line| !line.iter().all(|b| b" \t\r".contains(b))).count()
                as u64)
        }
        Model::Csv(csv) => rows(bytes, csv, &mut false).ok_or("records.unterminated_quote"),
        _ => unreachable!(),
    }
}

/// Whether the file is UTF-16 or UTF-32.
fn is_wide(bytes: &[u8]) -> bool {
    if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") {
        return true;
    }
    let head = &bytes[..bytes.len().min(256)];
    head.contains(&0) && [true, false].iter().any(|&big| is_utf32(head, big) || is_utf16(head, big))
}

fn is_utf32(head: &[u8], big: bool) -> bool {
    let mut at = 0;
    while at + 4 <= head.len() {
        let mut number = 0;
        for place in 0..4 {
            let byte = if big { head[at + place] } else { head[at + 3 - place] };
            number = number * 256 + u64::from(byte);
        }
        if number == 0 || number > 0x10_ffff || (0xd800..0xe000).contains(&number) {
            return false;
        }
        at += 4;
    }
    at > 0
}

fn is_utf16(head: &[u8], big: bool) -> bool {
    let (mut units, mut zero_above, mut zero_below, mut alphabetic) = (0, 0, 0, 0);
    let mut half_open = false;
    for pair in head.chunks_exact(2) {
        let (high, low) = if big { (pair[0], pair[1]) } else { (pair[1], pair[0]) };
        let is_second = (0xdc..=0xdf).contains(&high);
        if is_second != half_open {
            return false;
        }
        half_open = (0xd8..=0xdb).contains(&high);
        units += 1;
        zero_above += u32::from(high == 0);
        zero_below += u32::from(low == 0);
        alphabetic += u32::from(high < 0x20);
        if high == 0 && matches!(low, 0..=8 | 11 | 12 | 14..=31 | 127..=159) {
            return false;
        }
    }
    zero_above > zero_below && (2 * alphabetic >= units || !could_be_utf8(head))
}

/// Whether some end makes UTF-8 of the bytes.
fn could_be_utf8(head: &[u8]) -> bool {
    let ends: [&[u8]; 10] = [
        b"",
        b"\x80",
        b"\x90",
        b"\xa0",
        b"\x80\x80",
        b"\x90\x80",
        b"\xa0\x80",
        b"\x80\x80\x80",
        b"\x90\x80\x80",
        b"\xa0\x80\x80",
    ];
    ends.iter().any(|end| std::str::from_utf8(&[head, end].concat()).is_ok())
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

/// Whether an escape stands outside quotes.
pub fn escapes_letters(csv: &Csv, bytes: &[u8]) -> bool {
    let mut found = false;
    rows(bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes), csv, &mut found);
    found
}

/// A recursive-descent reader: rows of fields.
fn rows(mut bytes: &[u8], csv: &Csv, escapes_letters: &mut bool) -> Option<u64> {
    let mut rows = 0;
    while !bytes.is_empty() {
        let blank = terminator_at(bytes, csv.terminator);
        if blank > 0 {
            bytes = &bytes[blank..];
            continue;
        }
        rows += 1;
        loop {
            bytes = field(bytes, csv, escapes_letters)?;
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
fn field<'a>(mut bytes: &'a [u8], csv: &Csv, escapes_letters: &mut bool) -> Option<&'a [u8]> {
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
        bytes = rest;
        if csv.escape == Some(byte) {
            *escapes_letters = true;
            bytes = rest.get(1..).unwrap_or_default();
        }
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
    let mut counter = counter(model, first);
    counter.update(bytes);
    counter.finish()
}

/// The library's answer as a verdict.
pub fn verdict(answer: Result<Count, Error>) -> Verdict {
    answer.map(|count| count.records).map_err(|error| error.code())
}

/// A counter for the first range of a file, or for a later one.
pub fn counter(model: &Model, first: bool) -> RangeCounter {
    if first { RangeCounter::first(model) } else { RangeCounter::any(model) }.unwrap()
}

/// Counts the text cut at random into ranges, each read in random pieces at a random level, summed in
/// a random grouping.
pub fn ranges(random: &mut Random, model: &Model, text: &[u8]) -> Partial {
    let levels = Level::all();
    let least = text.len() / 200;
    let longest = [least.max(4), least.max(70), least.max(300), text.len() + 1][random.below(4)];
    let mut partials = Vec::new();
    let mut rest = text;
    while !rest.is_empty() || partials.is_empty() {
        let (range, after) = rest.split_at(random.below(longest.min(rest.len()) + 1));
        let level = levels[random.below(levels.len())];
        let mut counter = counter(model, partials.is_empty()).at(level);
        let mut pieces = range;
        while !pieces.is_empty() {
            let (piece, later) = pieces.split_at(1 + random.below(pieces.len()));
            counter.update(piece);
            pieces = later;
        }
        partials.push(counter.finish());
        rest = after;
    }
    let sum = grouped(random, &partials);
    assert_eq!(sum.bytes(), text.len() as u64);
    sum
}

/// Combines in a random order of operations, over JSON, as executors do.
fn grouped(random: &mut Random, partials: &[Partial]) -> Partial {
    match partials {
        [] => Partial::identity(),
        [one] => serde_json::from_str(&serde_json::to_string(one).unwrap()).unwrap(),
        many => {
            let (left, right) = many.split_at(1 + random.below(many.len() - 1));
            grouped(random, left).combine(&grouped(random, right)).unwrap()
        }
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
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        // Seeds that differ by little must not begin alike; zero would stay zero.
        let mut random = Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        for _ in 0..8 {
            random.below(2);
        }
        random
    }

    pub fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit as u64) as usize
    }

    /// Text gone wild: quotes, ends of line, marks, NULs, escapes, letters of several bytes.
    pub fn text(&mut self, length: usize) -> Vec<u8> {
        let letters: &[u8] = match self.below(6) {
            0 => b"a,\"\n\r\\ ",
            1 => b"aaaaaaaaaaaa,,,\"\n",
            2 => b"abcdefgh,,\n\n\r",
            3 => b"\"\"\"\",\n\\",
            4 => b"  \t\t\r\r\n\na\"",
            _ => {
                b"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa,\"\n\r\\ \xef\xbb\xbf\xff\0\xc3\xbc\xe6\x97\xa5"
            }
        };
        let mut bytes: Vec<u8> = (0..length).map(|_| letters[self.below(letters.len())]).collect();
        if self.below(8) == 0 {
            bytes.splice(0..0, *b"\xef\xbb\xbf");
        }
        bytes
    }

    /// Text that a program might write, in one of the encodings with more than one byte per letter,
    /// with or without a byte order mark, perhaps with a letter lost or a NUL too many.
    pub fn wide(&mut self, length: usize) -> Vec<u8> {
        let letters: Vec<char> = [
            "abcdefgh ,,\"\n",
            "абвгд ,\n\u{7ff}",
            "番号名前表示一丁世東京大阪上,\n\u{3000}",
            "\u{10348}\u{1f600}日,\n",
        ][self.below(4)]
        .chars()
        .collect();
        let mark = self.below(4) == 0;
        let mut text: Vec<char> = (0..length).map(|_| letters[self.below(letters.len())]).collect();
        if mark {
            text.insert(0, '\u{feff}');
        }
        let text: String = text.into_iter().collect();
        let mut bytes: Vec<u8> = match self.below(5) {
            0 => text.encode_utf16().flat_map(u16::to_le_bytes).collect(),
            1 => text.encode_utf16().flat_map(u16::to_be_bytes).collect(),
            2 => text.chars().flat_map(|char| u32::from(char).to_le_bytes()).collect(),
            3 => text.chars().flat_map(|char| u32::from(char).to_be_bytes()).collect(),
            _ => text.into_bytes(),
        };
        if !bytes.is_empty() && self.below(4) == 0 {
            let at = self.below(bytes.len());
            bytes[at] = [0, b'a', b'\n', 0x80, 0xd8][self.below(5)];
        }
        bytes
    }
}
