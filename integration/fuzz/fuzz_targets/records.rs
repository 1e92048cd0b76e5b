//! Any bytes as a file of records, cut anywhere: the parts come to what a reader of one byte at a
//! time counts. Parquet and Avro: any answer, the same from any reader, and no more than the file.

#![no_main]

use std::io::{self, Read};

use domain::profile::{Declared as DeclaredRule, DeclaredPlace, RecordModel, Records};
use fuzz::random::Random;
use libfuzzer_sys::fuzz_target;
use records::{Count, Csv, Declared, Error, Level, Model, Partial, RangeCounter, Terminator};

#[path = "records/reference.rs"]
mod reference;
#[path = "records/seeds.rs"]
mod seeds;

/// Bytes in front of the file that choose the model, its options and the cuts.
const CONTROL_BYTES: usize = 4;
const TERMINATORS: [Terminator; 4] =
    [Terminator::Auto, Terminator::Lf, Terminator::CrLf, Terminator::Cr];
const PATTERNS: [&str; 6] =
    [r"(\d+)", r"^TRL\|(\d+)$", r"(.*)", r"count=([0-9]+);?", r"(a)(b)", r"("];

fuzz_target!(init: fuzz::start(seeds::seeds, seeds::frame), |data: &[u8]| fuzz::run(|| judge(data)));

fn judge(data: &[u8]) {
    let Some((&control, bytes)) = data.split_first_chunk::<CONTROL_BYTES>() else { return };
    let [kind, option, cuts, seed] = control;
    // Patterns take long to compile, so not every input has one.
    if kind >> 4 == 1 {
        rules(kind, option, bytes);
    }
    match kind % 8 {
        6 => container(bytes, &records::count_parquet(&bytes.to_vec())),
        7 => {
            container(bytes, &records::count_avro(bytes));
            let whole = records::count_avro(bytes).map_err(|error| error.to_string());
            let pieces = records::count_avro(Single(bytes)).map_err(|error| error.to_string());
            assert_eq!(whole, pieces);
        }
        kind => {
            let model = model(kind, option);
            if model.check().is_ok() {
                let random = Random::new(u64::from(seed) << 8 | u64::from(cuts));
                splits(&model, bytes, usize::from(cuts % 8), random);
            }
        }
    }
}

/// One of the models that are counted in ranges, the odd ones included.
fn model(kind: u8, option: u8) -> Model {
    let terminator = TERMINATORS[usize::from(option & 3)];
    let letters = [b'"', b'\\', b',', b'\t', b'\'', b'a', b'\n', 0xff];
    let letter = |shift: u8| letters[usize::from(option >> shift & 7)];
    match kind {
        0 => Model::Lines { terminator },
        1 => Model::Jsonl,
        2 => Model::Fixed { record_bytes: u64::from(option % 16) },
        3 => Model::Csv(Csv { terminator, ..Csv::default() }),
        4 => {
            let quote = (option & 4 == 0).then_some(b'"');
            let escape = (option & 8 == 0).then_some(b'\\');
            Model::Csv(Csv { delimiter: b',', quote, escape, terminator })
        }
        _ => {
            let (quote, escape) = (Some(letter(2)), Some(letter(5)));
            Model::Csv(Csv { delimiter: b',', quote, escape, terminator })
        }
    }
}

/// Any cut into ranges, each range in pieces of its own, summed from either side.
fn splits(model: &Model, bytes: &[u8], cuts: usize, mut random: Random) {
    let mut places: Vec<usize> = (0..cuts).map(|_| random.below(bytes.len() + 1)).collect();
    places.extend([0, bytes.len()]);
    places.sort_unstable();
    let ranges = places.windows(2).map(|pair| &bytes[pair[0]..pair[1]]);
    let levels = Level::all();
    let level = levels[random.below(levels.len())];
    let partials: Vec<Partial> = ranges
        .enumerate()
        .map(|(index, range)| {
            let first = index == 0 && random.once_in(2);
            let counter = if first { RangeCounter::first(model) } else { RangeCounter::any(model) };
            let mut counter = counter.expect("a model that was checked").at(level);
            let (head, tail) = range.split_at(random.below(range.len() + 1));
            counter.update(head);
            counter.update(tail);
            carried(&counter.finish())
        })
        .collect();
    let sum = |left: Partial, right: &Partial| left.combine(right).expect("parts of one count");
    let left = partials.iter().fold(Partial::identity(), sum);
    let right = partials
        .iter()
        .rev()
        .fold(Partial::identity(), |right, left| left.combine(&right).expect("parts of one count"));
    assert_eq!(left, right, "combining is not associative");
    assert_eq!(left.bytes(), bytes.len() as u64);
    let headers = random.below(3) as u64;
    let answer = left.finish(model, headers, 1).map_err(|error| error.code());
    assert_eq!(answer, at_once(model, bytes, headers), "{model:?}: it matters where it is cut");
    match (answer, reference::count(model, bytes)) {
        (Ok(count), Ok(total)) => {
            assert_eq!(count.total, total, "{model:?}");
            assert_eq!(count.records, total.saturating_sub(headers).saturating_sub(1));
        }
        // Without its mark UTF-16 is recognised by more than the reference knows.
        (Err("records.utf16"), _) if reference::may_be_wide(bytes) => {}
        (answer, expected) => assert_eq!(answer.map(|count| count.total), expected, "{model:?}"),
    }
    let other = Model::Fixed { record_bytes: 7 };
    if !bytes.is_empty() && *model != other {
        assert!(matches!(left.finish(&other, 0, 0), Err(Error::Mismatch(_))));
        assert!(matches!(model.check(), Ok(())) && model.is_splittable());
    }
}

/// The answer of one counter that is given everything in one piece.
fn at_once(model: &Model, bytes: &[u8], headers: u64) -> Result<Count, &'static str> {
    let mut counter = RangeCounter::first(model).expect("a model that was checked");
    counter.update(bytes);
    counter.finish().finish(model, headers, 1).map_err(|error| error.code())
}

/// A partial as another process reads it.
fn carried(partial: &Partial) -> Partial {
    let text = serde_json::to_string(partial).expect("a partial is JSON");
    let read = serde_json::from_str(&text).expect("its own JSON");
    assert_eq!(*partial, read);
    read
}

fn container(bytes: &[u8], answer: &Result<Count, Error>) {
    match answer {
        Ok(count) => assert_eq!(count.bytes, bytes.len() as u64),
        Err(error) => assert_eq!(error.code(), "records.corrupt", "{error}"),
    }
}

/// One byte at a time, and now and then none at all.
struct Single<'a>(&'a [u8]);

impl Read for Single<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.0.len() % 5 == 4 && !self.0.is_empty() {
            let room = buf.len().min(2);
            return self.0.read(&mut buf[..room]);
        }
        let room = buf.len().min(1);
        self.0.read(&mut buf[..room])
    }
}

/// What a profile may say about records, and the count that the file declares.
fn rules(kind: u8, option: u8, bytes: &[u8]) {
    let models = [
        RecordModel::Lines,
        RecordModel::Jsonl,
        RecordModel::Fixed,
        RecordModel::Csv,
        RecordModel::None,
        RecordModel::Csv,
        RecordModel::Parquet,
        RecordModel::Avro,
    ];
    let place = if option & 1 == 0 { DeclaredPlace::Header } else { DeclaredPlace::Trailer };
    let pattern = PATTERNS[usize::from(option >> 1) % PATTERNS.len()].to_owned();
    let rules = Records {
        model: models[usize::from(kind % 8)],
        quote: if option & 16 == 0 { "\"".to_owned() } else { ",".to_owned() },
        escape: (option & 32 == 0).then(|| "\\".to_owned()),
        record_bytes: Some(u64::from(option % 16)),
        declared: (kind & 8 == 0).then_some(DeclaredRule { place, pattern }),
        ..Records::default()
    };
    if let Err(error) = Model::of(&rules) {
        assert_eq!(error.code(), "records.options");
    }
    match Declared::of(&rules) {
        Ok(Some(declared)) => {
            let bytes = &bytes.to_vec();
            if let Ok(count) = declared.read(bytes) {
                assert!(declared.check(bytes, count).is_ok());
                assert!(declared.check(bytes, count ^ 1).is_err());
            }
        }
        Ok(None) => {}
        Err(error) => assert_eq!(error.code(), "records.options"),
    }
}
