//! Throughput of the counters, printed and never judged: `cargo bench -p records`.

use std::time::Instant;

use records::{Csv, Model, RangeCounter, Terminator};

fn main() {
    let repeat = |line: &[u8]| line.repeat((256 << 20) / line.len());
    let plain = repeat(b"1000234,2024-05-17,Berlin,some product name,12.50,EUR\n");
    let quoted =
        repeat(b"\"1000234\",\"2024-05-17\",\"Berlin\",\"some, name\",\"12.50\",\"EUR\"\r\n");
    let sparse = repeat(b"1000234,2024-05-17,Berlin,\"some, product name\",12.50,EUR\n");
    let json = repeat(b"{\"id\":1000234,\"city\":\"Berlin\",\"name\":\"some product name\"}\n");
    let lines = Model::Lines { terminator: Terminator::Auto };
    let csv = Model::Csv(Csv::default());
    let rows: [(&str, &Model, &[u8]); 6] = [
        ("lines", &lines, &plain),
        ("lines CRLF", &lines, &quoted),
        ("csv plain", &csv, &plain),
        ("csv one quoted field", &csv, &sparse),
        ("csv all quoted", &csv, &quoted),
        ("jsonl", &Model::Jsonl, &json),
    ];
    for (what, model, bytes) in rows {
        for (how, counter) in
            [("first", RangeCounter::first(model)), ("any", RangeCounter::any(model))]
        {
            let Ok(mut counter) = counter else { continue };
            let start = Instant::now();
            bytes.chunks(1 << 20).for_each(|piece| counter.update(piece));
            let partial = counter.finish();
            let seconds = start.elapsed().as_secs_f64();
            let speed = bytes.len() as f64 / seconds / f64::from(1 << 20);
            println!("{what:22} {how:5} {speed:8.0} MiB/s {:?}", partial.bytes());
        }
    }
}
