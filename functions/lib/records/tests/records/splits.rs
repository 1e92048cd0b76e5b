//! Any cut, any grouping, any piece size: the same count.

use records::{Model, Partial};

use crate::reference::*;

/// All texts over the alphabet up to a length.
fn texts(alphabet: &[u8], longest: usize) -> Vec<Vec<u8>> {
    let mut all: Vec<Vec<u8>> = vec![Vec::new()];
    let mut last = 0;
    for _ in 0..longest {
        let from = std::mem::replace(&mut last, all.len());
        for at in from..last {
            for &byte in alphabet {
                let longer = [all[at].as_slice(), &[byte]].concat();
                all.push(longer);
            }
        }
    }
    all
}

#[test]
fn every_small_text_cut_anywhere_counts_as_the_reference_says() {
    for model in models() {
        for text in texts(b"a,\"\n\r", 6) {
            let truth = count(&model, &text);
            assert_eq!(verdict(whole(&model, &text)), truth, "{model:?} {text:?}");
            for cut in 0..=text.len() {
                let (left, right) = text.split_at(cut);
                let left = partial(&model, left, true);
                let both = left.combine(&partial(&model, right, false)).unwrap();
                assert_eq!(verdict(both.finish(&model, 0, 0)), truth, "{model:?} {text:?} {cut}");
            }
        }
    }
}

#[test]
fn marks_and_escapes_cut_anywhere_count_as_the_reference_says() {
    for alphabet in [&b"\"\\,\n a"[..], b"\xef\xbb\xbf\"\n", b"\0a\xfe\xff\n"] {
        for model in models() {
            for text in texts(alphabet, 5) {
                let truth = count(&model, &text);
                for cut in 0..=text.len() {
                    let (left, right) = text.split_at(cut);
                    let left = partial(&model, left, true);
                    let both = left.combine(&partial(&model, right, false)).unwrap();
                    let ours = verdict(both.finish(&model, 0, 0));
                    assert_eq!(ours, truth, "{model:?} {text:?} {cut}");
                }
            }
        }
    }
}

#[test]
fn combining_is_associative_and_has_an_identity() {
    let mut random = Random::new(77);
    for model in models() {
        for _ in 0..200 {
            let parts: Vec<Partial> = (0..3)
                .map(|_| {
                    let length = random.below(20);
                    let text = random.text(length);
                    partial(&model, &text, false)
                })
                .collect();
            let left = parts[0].combine(&parts[1]).unwrap().combine(&parts[2]).unwrap();
            let right = parts[0].combine(&parts[1].combine(&parts[2]).unwrap()).unwrap();
            assert_eq!(left, right);
            assert_eq!(Partial::identity().combine(&left).unwrap(), left);
            assert_eq!(left.combine(&Partial::identity()).unwrap(), left);
        }
    }
}

#[test]
fn partials_that_do_not_belong_together_are_refused() {
    let (lines, jsonl) = (models().remove(1), Model::Jsonl);
    let (a, b) = (partial(&lines, b"x\n", true), partial(&jsonl, b"x\n", false));
    assert_eq!(a.combine(&b).unwrap_err().code(), "records.partial_mismatch");
    assert_eq!(a.finish(&jsonl, 0, 0).unwrap_err().code(), "records.partial_mismatch");
    assert_eq!(a.combine(&a).unwrap_err().code(), "records.partial_mismatch");
    let any = partial(&lines, b"x\n", false);
    assert_eq!(verdict(any.finish(&lines, 0, 0)), Ok(1));
}

/// The states in which the readers of a range end.
fn exits(model: &Model, range: &[u8]) -> Vec<String> {
    let partial = serde_json::to_value(partial(model, range, false)).unwrap();
    let rows = partial["rows"].as_array().unwrap();
    let mut exits: Vec<String> = rows.iter().map(|row| row["exit"].to_string()).collect();
    exits.sort();
    exits.dedup();
    exits
}

#[test]
fn readers_of_a_long_range_meet() {
    for model in models() {
        // As many bytes as fill blocks: nothing is left to be walked.
        let quoted = b"1,\"a\nb\",c\r\n2,\"d\",e\r\n".repeat(80);
        assert_eq!(exits(&model, &quoted[..960]).len(), 1, "{model:?}");
        // Without a quote nobody can tell whether the range began inside quotes.
        let plain = b"1,a,b\r\n2,c,d\r\n".repeat(80);
        let ways = match &model {
            Model::Csv(csv) if csv.quote.is_some() => 2,
            _ => 1,
        };
        assert_eq!(exits(&model, &plain[..960]).len(), ways, "{model:?}");
    }
}
