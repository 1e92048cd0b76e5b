//! The rules, one row each.

use std::io;

use domain::{ErrorClass, Failure};
use records::{Csv, Declared, Model, Place, Source, Terminator};

use crate::reference::*;

fn csv() -> Model {
    Model::Csv(Csv::default())
}

fn lines(terminator: Terminator) -> Model {
    Model::Lines { terminator }
}

#[test]
fn every_rule_has_a_row() {
    let auto = lines(Terminator::Auto);
    let semicolon = Model::Csv(Csv { delimiter: b';', quote: Some(b'\''), ..Csv::default() });
    let escaped = Model::Csv(Csv { escape: Some(b'\\'), ..Csv::default() });
    let bare = Model::Csv(Csv { quote: None, ..Csv::default() });
    let strict = Model::Csv(Csv { terminator: Terminator::CrLf, ..Csv::default() });
    let rows: [(&str, &Model, &[u8], u64); 44] = [
        ("no bytes", &auto, b"", 0),
        ("no bytes", &csv(), b"", 0),
        ("no bytes", &Model::Jsonl, b"", 0),
        ("only a mark", &auto, b"\xef\xbb\xbf", 0),
        ("only a mark", &csv(), b"\xef\xbb\xbf", 0),
        ("half a mark is a letter", &csv(), b"\xef\xbb", 1),
        ("half a wide mark is a letter", &csv(), b"\xff", 1),
        ("a mark, then a quote", &csv(), b"\xef\xbb\xbf\"a\nb\"\n", 1),
        ("a mark, then a blank line", &csv(), b"\xef\xbb\xbf\na\n", 1),
        ("LF", &auto, b"a\nb\n", 2),
        ("no last LF", &auto, b"a\nb", 2),
        ("CRLF", &auto, b"a\r\nb\r\n", 2),
        ("CR", &auto, b"a\rb\r", 2),
        ("mixed", &auto, b"a\rb\nc\r\nd", 4),
        ("blank lines are lines", &auto, b"\n\n\r\n\r", 4),
        ("LF CR is two", &auto, b"a\n\rb", 3),
        ("CR is data", &lines(Terminator::Lf), b"a\rb\nc", 2),
        ("LF is data", &lines(Terminator::Cr), b"a\nb\rc", 2),
        ("both are data", &lines(Terminator::CrLf), b"a\nb\rc\r\nd", 2),
        ("CR CR LF", &lines(Terminator::CrLf), b"a\r\r\nb", 2),
        ("plain", &csv(), b"id,name\n1,a\n2,b\n", 3),
        ("blank lines are no records", &csv(), b"\n\na\n\r\n\rb\n\n", 2),
        ("a blank is a record", &csv(), b" \n", 1),
        ("a delimiter is a record", &csv(), b",\n", 1),
        ("empty quotes are a record", &csv(), b"\"\"\n", 1),
        ("quoted LF", &csv(), b"\"a\nb\",c\n", 1),
        ("quoted CRLF", &csv(), b"\"a\r\nb\"\r\nc\r\n", 2),
        ("doubled quote", &csv(), b"\"a\"\"\nb\"\nc\n", 2),
        ("doubled quotes only", &csv(), b"\"\"\"\n\"\"\"\n", 1),
        ("quote inside a field is a letter", &csv(), b"a\"b\nc\"d\n", 2),
        ("quote after a blank is a letter", &csv(), b"a, \"b\nc\n", 2),
        ("text after quotes", &csv(), b"\"a\"b\"\nc\n", 2),
        ("quoted at the end", &csv(), b"a\n\"b\"", 2),
        ("other quote and delimiter", &semicolon, b"'a\nb';'c'\n\"d\n", 2),
        ("escaped quote", &escaped, b"\"a\\\"\nb\"\nc\n", 2),
        ("escaped LF", &escaped, b"a\\\nb\nc\n", 2),
        ("escape at the end", &escaped, b"a\\", 1),
        ("no quotes", &bare, b"\"a\nb\"\n", 2),
        ("CRLF only", &strict, b"a\nb\r\n\r\nc\rd\r\n", 2),
        ("lone CR at the end", &strict, b"a\r\n\r", 2),
        ("jsonl", &Model::Jsonl, b"{}\n{}\n", 2),
        ("jsonl CRLF", &Model::Jsonl, b"{}\r\n\r\n \t\r\n{}", 2),
        ("jsonl CR inside a value", &Model::Jsonl, b"{\"a\":1,\r\"b\":2}\n", 1),
        ("jsonl mark", &Model::Jsonl, b"\xef\xbb\xbf{}\n", 1),
    ];
    for (what, model, bytes, expected) in rows {
        assert_eq!(whole(model, bytes).unwrap().records, expected, "{what} {bytes:?}");
        assert_eq!(count(model, bytes), Ok(expected), "reference: {what}");
    }
}

#[test]
fn what_cannot_be_counted_is_refused_with_its_code() {
    let escaped = Model::Csv(Csv { escape: Some(b'\\'), ..Csv::default() });
    let fixed = Model::Fixed { record_bytes: 10 };
    let rows: [(&Model, &[u8], &str); 6] = [
        (&csv(), b"a\n\"b\n", "records.unterminated_quote"),
        (&csv(), b"\"", "records.unterminated_quote"),
        (&escaped, b"\"a\\", "records.unterminated_quote"),
        (&csv(), b"\xff\xfea\0\n\0", "records.utf16"),
        (&Model::Jsonl, b"\xfe\xff\0a\0\n", "records.utf16"),
        (&fixed, &[b'x'; 25], "records.partial_record"),
    ];
    for (model, bytes, code) in rows {
        for cut in 0..=bytes.len() {
            let (left, right) = bytes.split_at(cut);
            let sum = partial(model, left, true).combine(&partial(model, right, false)).unwrap();
            let failure = Failure::from(sum.finish(model, 0, 0).unwrap_err());
            assert_eq!((failure.class, failure.code.as_ref()), (ErrorClass::Rejected, code));
        }
    }
    let wrong = [
        Model::Fixed { record_bytes: 0 },
        Model::Parquet,
        Model::None,
        Model::Csv(Csv { delimiter: b'"', ..Csv::default() }),
        Model::Csv(Csv { escape: Some(b'\n'), ..Csv::default() }),
        Model::Csv(Csv { delimiter: 0xa7, ..Csv::default() }),
    ];
    for model in wrong {
        let error = records::RangeCounter::first(&model).err().unwrap();
        assert_eq!(Failure::from(error).class, ErrorClass::Misconfigured, "{model:?}");
    }
}

#[test]
fn text_and_fixed_records_are_counted_in_pieces_and_containers_are_not() {
    let auto = Terminator::Auto;
    for model in [csv(), lines(auto), Model::Jsonl, Model::Fixed { record_bytes: 1 }] {
        assert!(model.is_splittable(), "{model:?}");
    }
    for model in [Model::Parquet, Model::Avro, Model::None] {
        assert!(!model.is_splittable(), "{model:?}");
    }
}

/// A source that fails, as storage does when it is away.
struct Away(fn() -> io::Error);

impl Source for Away {
    fn len(&self) -> u64 {
        100
    }

    fn read_at(&self, _: u64, _: &mut [u8]) -> io::Result<usize> {
        Err(self.0())
    }
}

#[test]
fn what_may_pass_is_tried_again_and_storage_keeps_its_own_words() {
    let declared = Declared::new(Place::Header, r"(\d+)").unwrap();
    let failure = |away: Away| Failure::from(declared.read(&away).unwrap_err());
    let plain = failure(Away(|| io::Error::other("the disk is gone")));
    assert_eq!((plain.class, plain.code.as_ref()), (ErrorClass::Transient, "records.read"));
    assert!(plain.message.contains("the disk is gone"), "{plain}");
    let storage = failure(Away(|| {
        io::Error::other(Failure::throttled("storage.slow_down", "S3 asks to wait."))
    }));
    assert_eq!(storage.class, ErrorClass::Throttled);
    assert_eq!(storage.code, "storage.slow_down");
    // Parts of different counts do not add up: the count is made anew.
    let one = partial(&csv(), b"a\n", true);
    let other = partial(&Model::Jsonl, b"{}\n", false);
    let mismatch = Failure::from(one.combine(&other).unwrap_err());
    assert_eq!(mismatch.class, ErrorClass::Transient);
    assert_eq!(mismatch.code, "records.partial_mismatch");
}

#[test]
fn headers_and_trailers_are_subtracted_down_to_nothing() {
    let counted = |header, trailer| {
        let partial = partial(&csv(), b"h\n1\n2\nt\n", true);
        let count = partial.finish(&csv(), header, trailer).unwrap();
        assert_eq!((count.total, count.bytes), (4, 8));
        count.records
    };
    assert_eq!(counted(0, 0), 4);
    assert_eq!(counted(1, 1), 2);
    assert_eq!(counted(4, 0), 0);
    assert_eq!(counted(3, 3), 0);
    assert_eq!(counted(u64::MAX, u64::MAX), 0);
    let fixed = Model::Fixed { record_bytes: 4 };
    let sum = partial(&fixed, b"123", true).combine(&partial(&fixed, b"45678", false)).unwrap();
    assert_eq!(sum.finish(&fixed, 1, 0).unwrap().records, 1);
}

#[test]
fn declared_counts_are_read_and_held_against_the_count() {
    let trailer = Declared::new(Place::Trailer, r"^T\|0*(\d+)\|").unwrap();
    let header = Declared::new(Place::Header, r"count=(\d+)").unwrap();
    let file = |text: &str| text.as_bytes().to_vec();
    let good = [
        (&trailer, file("H\n1\n2\nT|0002|x\n"), 2),
        (&trailer, file("H\n1\r\n2\r\nT|2|x\r\n\r\n\x1a"), 2),
        (&trailer, file("T|0|"), 0),
        (&trailer, file("\u{feff}T|3|"), 3),
        (&header, file("\u{feff}count=7\nx\n"), 7),
        (&header, file("count=7"), 7),
    ];
    for (declared, bytes, number) in good {
        declared.check(&bytes, number).unwrap();
        let error = declared.check(&bytes, number + 1).unwrap_err();
        let failure = Failure::from(error);
        assert_eq!(failure.code, "records.declared_mismatch");
        assert!(failure.message.contains(&number.to_string()), "{failure}");
    }
    let long = [vec![b'x'; 200_000], b"\nT|5|".to_vec()].concat();
    assert_eq!(trailer.read(&long).unwrap(), 5);
    // A mark is one at the start of the file only.
    let marked = [vec![b'x'; 200_000], "\n\u{feff}T|5|".into()].concat();
    let endless = [b"T|".to_vec(), vec![b'9'; 200_000], b"|\n".to_vec()].concat();
    for bytes in [file(""), file("x\n"), file("T|99999999999999999999999|"), marked, endless] {
        let error = trailer.read(&bytes).unwrap_err();
        assert_eq!(error.code(), "records.declared_missing");
        assert!(error.to_string().contains("trailer"), "{error}");
    }
    assert!(header.read(&file("x")).unwrap_err().to_string().contains("header"));
    for pattern in ["(", r"\d+", r"(\d)(\d)", "(a{9999}{9999})"] {
        let error = Declared::new(Place::Header, pattern).unwrap_err();
        assert_eq!(error.code(), "records.options", "{pattern}");
    }
}
