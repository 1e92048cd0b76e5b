//! Any cut, any grouping, any piece size: the same count.

use records::{Model, Partial, RangeCounter};

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
            assert_eq!(number(whole(&model, &text)), truth, "{model:?} {text:?}");
            for cut in 0..=text.len() {
                let (left, right) = text.split_at(cut);
                let left = partial(&model, left, true);
                let both = left.combine(&partial(&model, right, false)).unwrap();
                assert_eq!(number(both.finish(&model, 0, 0)), truth, "{model:?} {text:?} {cut}");
            }
        }
    }
}

#[test]
fn marks_and_escapes_cut_anywhere_count_as_the_reference_says() {
    for alphabet in [&b"\"\\,\n a"[..], &b"\xef\xbb\xbf\"\n"[..]] {
        for model in models() {
            for text in texts(alphabet, 5) {
                let truth = count(&model, &text);
                for cut in 0..=text.len() {
                    let (left, right) = text.split_at(cut);
                    let left = partial(&model, left, true);
                    let both = left.combine(&partial(&model, right, false)).unwrap();
                    let number = number(both.finish(&model, 0, 0));
                    assert_eq!(number, truth, "{model:?} {text:?} {cut}");
                }
            }
        }
    }
}

#[test]
fn ten_thousand_random_texts_in_random_pieces_and_ranges_agree() {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let models = models();
    for round in 0..10_000 {
        let model = &models[round % models.len()];
        let longest = if round % 50 == 0 { 40_000 } else { 300 };
        let length = random.below(longest);
        let text = random.text(length);
        let truth = count(model, &text);
        assert_eq!(number(whole(model, &text)), truth, "{model:?}");
        let mut partials = Vec::new();
        let mut rest = text.as_slice();
        while !rest.is_empty() || partials.is_empty() {
            let (range, after) = rest.split_at(random.below(rest.len() + 1));
            let first = partials.is_empty();
            let counter = if first { RangeCounter::first(model) } else { RangeCounter::any(model) };
            let mut counter = counter.unwrap();
            let mut pieces = range;
            while !pieces.is_empty() {
                let (piece, later) = pieces.split_at(1 + random.below(pieces.len()));
                counter.update(piece);
                pieces = later;
            }
            partials.push(counter.finish());
            rest = after;
        }
        let sum = grouped(&mut random, &partials);
        assert_eq!(sum.bytes(), text.len() as u64);
        assert_eq!(number(sum.finish(model, 0, 0)), truth, "{model:?}");
    }
}

/// Combines in a random order of operations, over JSON, as executors do.
fn grouped(random: &mut Random, partials: &[Partial]) -> Partial {
    let through_json = |partial: &Partial| -> Partial {
        serde_json::from_str(&serde_json::to_string(partial).unwrap()).unwrap()
    };
    match partials {
        [] => Partial::identity(),
        [one] => through_json(one),
        many => {
            let (left, right) = many.split_at(1 + random.below(many.len() - 1));
            grouped(random, left).combine(&grouped(random, right)).unwrap()
        }
    }
}

#[test]
fn combining_is_associative_and_has_an_identity() {
    let mut random = Random(77);
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
    assert_eq!(number(any.finish(&lines, 0, 0)), Some(1));
}
