//! Three counters must agree on random files: the library at every level and in random ranges, the
//! reference that reads one byte at a time, and the `csv` crate.

use records::{Csv, Error, Level, Model, Terminator};

use crate::judges::well_formed;
use crate::reference::*;

/// What the `csv` crate counts, where it means the same as we do. It knows no end of line that is CRLF
/// alone, and an escape only inside quotes.
fn crate_count(csv: &Csv, text: &[u8]) -> Option<u64> {
    if escapes_letters(csv, text) {
        return None;
    }
    let terminator = match csv.terminator {
        Terminator::Auto => csv::Terminator::CRLF,
        Terminator::Lf => csv::Terminator::Any(b'\n'),
        Terminator::Cr => csv::Terminator::Any(b'\r'),
        Terminator::CrLf => return None,
    };
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .delimiter(csv.delimiter)
        .quoting(csv.quote.is_some())
        .quote(csv.quote.unwrap_or(b'"'))
        .escape(csv.escape)
        .terminator(terminator)
        .from_reader(text);
    let mut record = csv::ByteRecord::new();
    let mut count = 0;
    while reader.read_byte_record(&mut record).unwrap() {
        count += 1;
    }
    Some(count)
}

fn differ(what: &str, ours: Verdict, theirs: Verdict) -> Option<String> {
    (ours != theirs).then(|| format!("{what}: {ours:?}, but should be {theirs:?}"))
}

/// How the counters disagree about a text, if they do.
fn disagreement(model: &Model, text: &[u8], seed: u64) -> Option<String> {
    let truth = count(model, text);
    for level in Level::all() {
        let mut counter = counter(model, true).at(level);
        counter.update(text);
        let ours = verdict(counter.finish().finish(model, 0, 0));
        let found = differ(&format!("{level:?} against the reference"), ours, truth);
        if found.is_some() {
            return found;
        }
    }
    let ours = ranges(&mut Random::new(seed), model, text).finish(model, 0, 0);
    if let (Model::Csv(csv), true) = (model, truth != Err("records.utf16")) {
        let ours = match &ours {
            Ok(count) => count.records,
            // The crate takes what stands in open quotes for a record.
            Err(Error::UnterminatedQuote { records }) => records + 1,
            Err(error) => return Some(error.to_string()),
        };
        if let Some(theirs) = crate_count(csv, text).filter(|&theirs| theirs != ours) {
            return Some(format!("{ours}, but the csv crate counts {theirs}"));
        }
    }
    differ("ranges against the reference", verdict(ours), truth)
}

/// Takes parts of the text away as long as the counters still disagree.
fn shrink(model: &Model, text: &[u8], seed: u64) -> Vec<u8> {
    let mut text = text.to_vec();
    let mut length = text.len().next_power_of_two();
    while length > 0 {
        let mut at = 0;
        while at < text.len() {
            let mut shorter = text.clone();
            shorter.drain(at..(at + length).min(text.len()));
            if disagreement(model, &shorter, seed).is_some() {
                text = shorter;
            } else {
                at += length;
            }
        }
        length /= 2;
    }
    text
}

fn random_text(random: &mut Random, round: u64) -> Vec<u8> {
    let longest = if round.is_multiple_of(100) { 40_000 } else { 300 };
    let length = random.below(longest);
    match random.below(8) {
        0 => well_formed(random),
        1 => random.wide(length / 2),
        _ => random.text(length),
    }
}

#[test]
fn ten_thousand_random_texts_count_the_same_three_ways() {
    let models = models();
    for round in 0..10_000 {
        let model = &models[round as usize % models.len()];
        let text = random_text(&mut Random::new(round), round);
        if disagreement(model, &text, round).is_some() {
            let text = shrink(model, &text, round);
            let how = disagreement(model, &text, round).unwrap();
            panic!("seed {round}, {model:?}, {:?}: {how}", text.escape_ascii().to_string());
        }
    }
}

#[test]
fn the_random_texts_are_worth_it() {
    let (mut good, mut open, mut wide, mut judged) = (0, 0, 0, 0);
    let models = models();
    for round in 0..10_000 {
        let model = &models[round as usize % models.len()];
        let text = random_text(&mut Random::new(round), round);
        match count(model, &text) {
            Ok(_) => good += 1,
            Err("records.utf16") => wide += 1,
            Err(_) => open += 1,
        }
        if let Model::Csv(csv) = model {
            judged += u32::from(crate_count(csv, &text).is_some());
        }
    }
    assert!(
        good > 5000 && open > 400 && wide > 300 && judged > 4000,
        "{good} {open} {wide} {judged}"
    );
}

#[test]
fn blocks_of_nothing_but_hard_bytes_count_the_same() {
    let mut random = Random::new(1);
    for (round, letters) in [&b"\"\""[..], b"\",", b"\\\"", b"\\", b"\n\r", b" \n", b"\"\n", b"a\""]
        .iter()
        .cycle()
        .take(160)
        .enumerate()
    {
        let length = 60 + random.below(140);
        let text: Vec<u8> = (0..length).map(|_| letters[random.below(letters.len())]).collect();
        for model in models() {
            let found = disagreement(&model, &text, round as u64);
            assert_eq!(found, None, "{model:?} {}", text.escape_ascii());
        }
    }
}

#[test]
fn levels_are_told_apart_and_the_best_is_the_last() {
    let mut names: Vec<String> = Level::all().iter().map(|level| format!("{level:?}")).collect();
    assert_eq!(names.first().unwrap(), "Fallback");
    assert_eq!(names.last().unwrap(), &format!("{:?}", Level::best()));
    let count = names.len();
    names.dedup();
    assert_eq!(names.len(), count);
    if cfg!(any(target_arch = "x86_64", target_arch = "aarch64")) {
        assert!(count > 1);
    }
}
