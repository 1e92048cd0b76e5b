//! Foreign judges on generated files: Python's csv module and `wc`.

use std::io::Write;
use std::process::{Command, Stdio};

use records::{Csv, Model};

use crate::reference::*;

fn corpus() -> Vec<Vec<u8>> {
    let mut random = Random::new(4242);
    (0..3000)
        .map(|round| {
            // The judges have no BOM and no bytes beyond ASCII; blank lines they skip as we do.
            let length = random.below(if round % 100 == 0 { 5000 } else { 60 });
            let letters = b"aaaaab,,,,\"\"\n\n\r";
            let clean = round % 2 == 0;
            if clean {
                well_formed(&mut random)
            } else {
                (0..length).map(|_| letters[random.below(letters.len())]).collect()
            }
        })
        .collect()
}

/// CSV as a writer makes it, with every hard thing inside quotes.
pub fn well_formed(random: &mut Random) -> Vec<u8> {
    let mut bytes = Vec::new();
    for _ in 0..random.below(20) {
        let fields = 1 + random.below(4);
        for field in 0..fields {
            if field > 0 {
                bytes.push(b',');
            }
            if random.below(2) == 0 {
                let letters = b"ab,\n\r \"";
                bytes.push(b'"');
                for _ in 0..random.below(9) {
                    match letters[random.below(letters.len())] {
                        b'"' => bytes.extend(b"\"\""),
                        byte => bytes.push(byte),
                    }
                }
                bytes.push(b'"');
            } else {
                bytes.extend(&b"letters"[..1 + random.below(6)]);
            }
        }
        bytes.extend([&b"\n"[..], b"\r\n", b"\r"][random.below(3)]);
    }
    bytes
}

#[test]
fn python_counts_the_same() {
    let corpus = corpus();
    let script = r#"
import csv, io, sys
csv.field_size_limit(1 << 30)
for line in sys.stdin:
    text = bytes.fromhex(line.strip()).decode()
    try:
        rows = list(csv.reader(io.StringIO(text, newline=""), strict=False))
        # Python says nothing about a quote left open; a sentinel behind it shows it.
        shown = list(csv.reader(io.StringIO(text + "\nSENTINEL\n", newline="")))
        print(sum(1 for row in rows if row) if shown and shown[-1] == ["SENTINEL"] else -1)
    except csv.Error as error:
        print("error", error)
"#;
    let mut python = Command::new("python3")
        .args(["-c", script])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = python.stdin.take().unwrap();
    let lines: String = corpus
        .iter()
        .map(|text| text.iter().map(|byte| format!("{byte:02x}")).collect::<String>() + "\n")
        .collect();
    let writer = std::thread::spawn(move || input.write_all(lines.as_bytes()).unwrap());
    let output = python.wait_with_output().unwrap();
    writer.join().unwrap();
    let answers = String::from_utf8(output.stdout).unwrap();
    assert_eq!(answers.lines().count(), corpus.len());
    let model = Model::Csv(Csv::default());
    let mut open = 0;
    for (text, answer) in corpus.iter().zip(answers.lines()) {
        let ours = verdict(whole(&model, text)).map_or(-1, |count| count as i64);
        open += u32::from(ours == -1);
        let shown = String::from_utf8_lossy(text);
        assert_eq!(ours.to_string(), answer, "{shown:?}");
    }
    assert!(open > 50);
}

#[test]
fn wc_counts_the_same_lines() {
    let mut random = Random::new(5);
    let text = random.text(100_000);
    let text: Vec<u8> = text.into_iter().filter(|&byte| byte != b'\r').collect();
    let newlines = text.iter().filter(|&&byte| byte == b'\n').count() as u64;
    let model = Model::Lines { terminator: records::Terminator::Auto };
    let count = whole(&model, &[text.as_slice(), b"\n"].concat()).unwrap();
    assert_eq!(count.records, newlines + 1);
}
