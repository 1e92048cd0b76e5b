//! Files as partners send them, with what a delivery of each must yield. Counts are known by
//! construction: no counter of ours is asked.

use std::io::{Cursor, Write};

use flate2::Compression;
use flate2::write::GzEncoder;
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

/// One file at the source.
#[derive(Clone, Debug)]
pub struct Sample {
    /// Its name.
    pub name: String,
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// What is in it.
    pub members: Vec<Member>,
}

/// One file inside a sample, or the sample itself.
#[derive(Clone, Debug)]
pub struct Member {
    /// Its path inside the archive; of a file that is no archive, its name.
    pub path: String,
    /// The name at the target, without the suffix of the seal.
    pub delivered_as: String,
    /// The plaintext.
    pub bytes: Vec<u8>,
    /// Its data records: one header line is none.
    pub records: u64,
}

/// CSV text with a header and that many records, some with a line break inside quotes.
#[must_use]
pub fn csv(seed: usize, records: u64) -> Vec<u8> {
    let mut text = String::from("id,what,amount\n");
    for id in 0..records {
        let amount = (id + 1) * 7919 * (seed as u64 + 1) % 100_003;
        let what = if id % 7 == 3 { "two\nlines" } else { "a \"\"word\"\"" };
        text.push_str(&format!("{id},\"{what} {seed}\",{amount}\n"));
    }
    text.into_bytes()
}

/// A zip with those members, and an entry for each directory as most packers write them.
///
/// # Panics
/// When the packer fails.
#[must_use]
pub fn zip(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default();
    let mut made: Vec<&str> = Vec::new();
    for (path, content) in members {
        if let Some((directory, _)) = path.rsplit_once('/')
            && !made.contains(&directory)
        {
            zip.add_directory(directory, options).expect("a directory in a zip");
            made.push(directory);
        }
        zip.start_file(*path, options).expect("a member of a zip");
        zip.write_all(content).expect("bytes in a zip");
    }
    zip.finish().expect("the end of a zip").into_inner()
}

/// A tar with those members.
///
/// # Panics
/// When the packer fails.
#[must_use]
pub fn tar(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (path, content) in members {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, path, *content).expect("a member of a tar");
    }
    tar.into_inner().expect("the end of a tar")
}

/// The same bytes, compressed.
///
/// # Panics
/// When the packer fails.
#[must_use]
pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
    gzip.write_all(bytes).expect("bytes in a gz");
    gzip.finish().expect("the end of a gz")
}

impl Sample {
    /// A file that is no archive.
    #[must_use]
    pub fn plain(name: &str, bytes: Vec<u8>, records: u64) -> Self {
        let member = Member {
            path: name.to_owned(),
            delivered_as: name.to_owned(),
            bytes: bytes.clone(),
            records,
        };
        Self { name: name.to_owned(), bytes, members: vec![member] }
    }

    /// `<stem>.zip` with CSV members of that path and number of records.
    #[must_use]
    pub fn zip(stem: &str, members: &[(&str, u64)], seed: usize) -> Self {
        Self::archive(stem, ".zip", members, seed, zip)
    }

    /// `<stem>.tar.gz` with CSV members of that path and number of records.
    #[must_use]
    pub fn tar_gz(stem: &str, members: &[(&str, u64)], seed: usize) -> Self {
        Self::archive(stem, ".tar.gz", members, seed, |members| gzip(&tar(members)))
    }

    /// `<stem>.gz` with that many records.
    #[must_use]
    pub fn gz(stem: &str, records: u64, seed: usize) -> Self {
        let bytes = csv(seed, records);
        let packed = gzip(&bytes);
        let member =
            Member { path: stem.to_owned(), delivered_as: stem.to_owned(), bytes, records };
        Self { name: format!("{stem}.gz"), bytes: packed, members: vec![member] }
    }

    fn archive(
        stem: &str,
        suffix: &str,
        members: &[(&str, u64)],
        seed: usize,
        pack: impl Fn(&[(&str, &[u8])]) -> Vec<u8>,
    ) -> Self {
        let members: Vec<Member> = members
            .iter()
            .enumerate()
            .map(|(index, (path, records))| Member {
                path: (*path).to_owned(),
                delivered_as: format!("{stem}_{}", path.replace('/', "_")),
                bytes: csv(seed * 10 + index, *records),
                records: *records,
            })
            .collect();
        let contents: Vec<(&str, &[u8])> =
            members.iter().map(|member| (member.path.as_str(), member.bytes.as_slice())).collect();
        Self { name: format!("{stem}{suffix}"), bytes: pack(&contents), members }
    }
}

/// That many files of all kinds: archives with nested folders and with members of the same name,
/// plain files, empty ones, and names that are hard to quote.
#[must_use]
pub fn mixed(files: usize) -> Vec<Sample> {
    (0..files).map(mixed_one).collect()
}

fn mixed_one(n: usize) -> Sample {
    let records = (n % 50) as u64;
    match n % 10 {
        0 => {
            let members = [("data.csv", records + 1), ("2026/märz/data.csv", 3), ("a b.csv", 0)];
            Sample::zip(&format!("orders {n}"), &members, n)
        }
        1 => Sample::zip(&format!("Lieferung-Süd-{n}"), &[("data.csv", records)], n),
        2 => Sample::tar_gz(&format!("stock-{n}"), &[("data.csv", 5), ("x/y/z/data.csv", 6)], n),
        3 => Sample::gz(&format!("prices-{n}.csv"), records, n),
        4 => Sample::plain(&format!("empty {n}.csv"), Vec::new(), 0),
        5 => Sample::plain(&format!("it's \"quoted\" $({n}).csv"), csv(n, records), records),
        6 => Sample::plain(&format!("Übersicht №{n} 日本.csv"), csv(n, 40), 40),
        7 => {
            // Neither CRLF nor a missing last line break changes the count.
            let text = format!("id,what\r\n1,{n}\r\n2,\"x\r\ny\"\r\n3,last");
            Sample::plain(&format!("-dash {n}.csv"), text.into_bytes(), 3)
        }
        8 => Sample::plain(&format!("header-only-{n}.csv"), csv(n, 0), 0),
        _ => Sample::plain(&format!("orders_{n}.csv"), csv(n, records * 20), records * 20),
    }
}
