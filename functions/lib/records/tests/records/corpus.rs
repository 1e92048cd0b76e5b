//! Files as real programs write them, with verdicts written by hand: see `tests/corpus/make.py`.

use std::path::Path;
use std::process::Command;

use domain::profile::Records;
use records::{Declared, Error, Model, count_avro, count_parquet};
use serde::Deserialize;

use crate::reference::*;

#[derive(Deserialize)]
struct Row {
    file: String,
    records: Records,
    #[serde(flatten)]
    verdict: Expected,
    why: String,
}

#[derive(Deserialize, PartialEq, Debug)]
#[serde(tag = "verdict", rename_all = "snake_case")]
enum Expected {
    Good { count: Option<u64> },
    Rejected { code: String },
}

/// The count of a file, over ranges when there is a chance to cut it.
fn judge(
    rules: &Records,
    bytes: &Vec<u8>,
    random: Option<&mut Random>,
) -> Result<Option<u64>, Error> {
    let model = Model::of(rules)?;
    let count = match (&model, random) {
        (Model::None, _) => return Ok(None),
        (Model::Parquet, _) => count_parquet(bytes)?,
        (Model::Avro, _) => count_avro(bytes.as_slice())?,
        (_, None) => partial(&model, bytes, true).finish(
            &model,
            rules.header_records,
            rules.trailer_records,
        )?,
        (_, Some(random)) => {
            let sum = ranges(random, &model, bytes);
            sum.finish(&model, rules.header_records, rules.trailer_records)?
        }
    };
    if let Some(declared) = Declared::of(rules)? {
        declared.check(bytes, count.records)?;
    }
    Ok(Some(count.records))
}

fn judged(rules: &Records, bytes: &Vec<u8>, random: Option<&mut Random>) -> Expected {
    match judge(rules, bytes, random) {
        Ok(count) => Expected::Good { count },
        Err(error) => Expected::Rejected { code: error.code().to_owned() },
    }
}

#[test]
fn every_file_gets_its_verdict() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = tempfile::tempdir().unwrap();
    let made = Command::new(root.join("../../../.venv/bin/python"))
        .arg(root.join("tests/corpus/make.py"))
        .arg(folder.path())
        .status()
        .expect("make tools installs the makers");
    assert!(made.success());
    let verdicts = std::fs::read(folder.path().join("verdicts.json")).unwrap();
    let rows: Vec<Row> = serde_json::from_slice(&verdicts).unwrap();
    assert!(rows.len() >= 80);
    let mut random = Random::new(2024);
    let mut wrong = Vec::new();
    for Row { file, records, verdict, why } in rows {
        let bytes = std::fs::read(folder.path().join(&file)).unwrap();
        let mut answers = vec![judged(&records, &bytes, None)];
        answers.extend((0..5).map(|_| judged(&records, &bytes, Some(&mut random))));
        if let Some(answer) = answers.iter().find(|&answer| *answer != verdict) {
            wrong.push(format!("{file}: {answer:?}, but should be {verdict:?}: {why}"));
        }
    }
    assert!(wrong.is_empty(), "{} files:\n{}", wrong.len(), wrong.join("\n"));
}
