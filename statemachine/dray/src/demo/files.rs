//! The demo's sample files: one of each kind that partners send.

use std::io::{Cursor, Write};

use flate2::Compression;
use flate2::write::GzEncoder;
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

/// Records in the larger samples.
const RECORDS: usize = 20_000;

/// A partner's files: name and content.
pub(super) fn of(partner: &str) -> anyhow::Result<Vec<(String, Vec<u8>)>> {
    let orders = csv(partner, "order", RECORDS);
    let lines = csv(partner, "line", RECORDS / 2);
    let notes = "note,text\n1,\"two\nlines\"\n2,\"a \"\"quoted\"\" word\"\n".to_owned();
    Ok(vec![
        (
            "orders.zip".to_owned(),
            zip(&[("orders.csv", &orders), ("2026/lines.csv", &lines), ("notes.csv", &notes)])?,
        ),
        (
            "stock.tar.gz".to_owned(),
            gzip(&tar(&[("stock/east.csv", &lines), ("stock/west.csv", &notes)])?)?,
        ),
        ("prices.csv.gz".to_owned(), gzip(csv(partner, "price", RECORDS).as_bytes())?),
        ("customers.csv".to_owned(), csv(partner, "customer", 500).into_bytes()),
        ("nothing today.csv".to_owned(), Vec::new()),
        ("Übersicht März 2026.csv".to_owned(), csv(partner, "Überweisung", 31).into_bytes()),
    ])
}

fn csv(partner: &str, what: &str, records: usize) -> String {
    let mut text = String::from("id,partner,what,amount\n");
    for id in 0..records {
        let amount = (id * 7919) % 100_000;
        text.push_str(&format!("{id},{partner},\"{what} {id}\",{amount}\n"));
    }
    text
}

fn zip(members: &[(&str, &str)]) -> anyhow::Result<Vec<u8>> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, content) in members {
        zip.start_file(*name, SimpleFileOptions::default())?;
        zip.write_all(content.as_bytes())?;
    }
    Ok(zip.finish()?.into_inner())
}

fn tar(members: &[(&str, &str)]) -> anyhow::Result<Vec<u8>> {
    let mut tar = tar::Builder::new(Vec::new());
    for (name, content) in members {
        let mut header = tar::Header::new_ustar();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, name, content.as_bytes())?;
    }
    Ok(tar.into_inner()?)
}

fn gzip(bytes: &[u8]) -> anyhow::Result<Vec<u8>> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
    gzip.write_all(bytes)?;
    Ok(gzip.finish()?)
}
