//! Parquet and Avro files, built byte by byte as their specifications say.

use std::io::{self, Read};

use records::{Error, count_avro, count_parquet};

use crate::reference::Random;

fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = (value & 0x7f) as u8;
        value >>= 7;
        if value == 0 {
            bytes.push(low);
            return bytes;
        }
        bytes.push(low | 0x80);
    }
}

fn zigzag(value: i64) -> Vec<u8> {
    varint(((value << 1) ^ (value >> 63)) as u64)
}

fn text(text: &[u8]) -> Vec<u8> {
    [zigzag(text.len() as i64), text.to_vec()].concat()
}

fn avro(blocks: &[(i64, &[u8])]) -> Vec<u8> {
    let sync = *b"0123456789abcdef";
    let mut bytes = b"Obj\x01".to_vec();
    bytes.extend(zigzag(2));
    bytes.extend(
        [text(b"avro.schema"), text(b"\"long\""), text(b"avro.codec"), text(b"null")].concat(),
    );
    // A second metadata block in the form with its size.
    let pair = [text(b"k"), text(b"v")].concat();
    bytes.extend([zigzag(-1), zigzag(pair.len() as i64), pair, zigzag(0)].concat());
    bytes.extend(sync);
    for (count, data) in blocks {
        bytes.extend(
            [zigzag(*count), zigzag(data.len() as i64), data.to_vec(), sync.to_vec()].concat(),
        );
    }
    bytes
}

#[test]
fn avro_blocks_are_added_up() {
    assert_eq!(count_avro(&avro(&[])[..]).unwrap().records, 0);
    let big = vec![7; 500_000];
    let bytes = avro(&[(3, b"abc"), (1_000_000, &big), (0, b"")]);
    let count = count_avro(&bytes[..]).unwrap();
    assert_eq!((count.records, count.bytes), (1_000_003, bytes.len() as u64));
}

#[test]
fn broken_avro_is_refused() {
    let bytes = avro(&[(3, b"abc"), (4, b"defg")]);
    let ends: Vec<usize> = [avro(&[]), avro(&[(3, b"abc")])].iter().map(Vec::len).collect();
    for length in 0..bytes.len() {
        // A file cut between two blocks is a whole file to anyone; its size is checked elsewhere.
        let code = count_avro(&bytes[..length]).map_err(|error| error.code()).err();
        let expected = (!ends.contains(&length)).then_some("records.corrupt");
        assert_eq!(code, expected, "{length}");
    }
    for wrong in [avro(&[(-1, b"")]), avro(&[(i64::MAX, b""), (i64::MAX, b""), (i64::MAX, b"")])] {
        assert_eq!(count_avro(&wrong[..]).unwrap_err().code(), "records.corrupt");
    }
    let mut sync = bytes;
    let last = sync.len() - 1;
    sync[last] ^= 1;
    assert_eq!(count_avro(&sync[..]).unwrap_err().code(), "records.corrupt");
}

/// Bytes from a source that fails before each of them.
struct Failing<'a> {
    bytes: &'a [u8],
    with: io::ErrorKind,
    failed: bool,
}

impl Read for Failing<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.failed = !self.failed;
        if self.failed {
            return Err(self.with.into());
        }
        let one = buffer.len().min(1);
        self.bytes.read(&mut buffer[..one])
    }
}

#[test]
fn a_signal_does_not_end_avro_and_a_failure_is_no_damage() {
    let bytes = avro(&[(3, b"abc"), (4, b"defg")]);
    let source = |with| Failing { bytes: &bytes, with, failed: false };
    assert_eq!(count_avro(source(io::ErrorKind::Interrupted)).unwrap().records, 7);
    // Good up to the place between two blocks, and broken off there.
    let whole = avro(&[(3, b"abc")]);
    let broken = source(io::ErrorKind::ConnectionReset);
    let error = count_avro(whole.as_slice().chain(broken)).unwrap_err();
    assert!(matches!(error, Error::Read(_)), "{error}");
}

/// A footer with a schema to pass over, the total, and one row group per number.
fn parquet(total: i64, groups: &[i64]) -> Vec<u8> {
    let mut footer = vec![0x15];
    footer.extend(zigzag(1));
    // Field 2: a schema of one element with a name, a list of structs.
    footer.extend([0x19, 0x1c, 0x48, 4]);
    footer.extend(b"root");
    footer.extend([0x15, 2, 0]);
    footer.push(0x16);
    footer.extend(zigzag(total));
    footer.extend([0x19, (groups.len().min(15) as u8) << 4 | 12]);
    if groups.len() >= 15 {
        footer.extend(varint(groups.len() as u64));
    }
    for rows in groups {
        // Field 1: no columns. Field 2: bytes. Field 3: rows. Field 7 by its full number, a boolean.
        footer.extend([0x19, 0x0c, 0x16]);
        footer.extend(zigzag(100));
        footer.push(0x16);
        footer.extend(zigzag(*rows));
        footer.extend([0x01, 14, 0]);
    }
    // Field 6: who made it. Then a map field and a double, to be passed over.
    footer.extend([0x28, 3]);
    footer.extend(b"abc");
    footer.extend([0x1b, 1, 0x85, 1]);
    footer.extend([b'k', 2, 0x17]);
    footer.extend([0; 8]);
    footer.push(0);
    let mut bytes = b"PAR1some pages".to_vec();
    bytes.extend(&footer);
    bytes.extend((footer.len() as u32).to_le_bytes());
    bytes.extend(b"PAR1");
    bytes
}

#[test]
fn parquet_rows_come_from_the_footer() {
    assert_eq!(count_parquet(&parquet(0, &[])).unwrap().records, 0);
    assert_eq!(count_parquet(&parquet(30, &[10, 20])).unwrap().records, 30);
    let many = vec![1000; 9000];
    assert_eq!(count_parquet(&parquet(9_000_000, &many)).unwrap().records, 9_000_000);
}

#[test]
fn broken_parquet_is_refused() {
    let bytes = parquet(30, &[10, 20]);
    let wrong = [
        parquet(31, &[10, 20]),
        parquet(-1, &[-1]),
        parquet(30, &[]),
        bytes[..bytes.len() - 1].to_vec(),
        b"PAR1".to_vec(),
        b"PAR1\xff\xff\xff\xffPAR1".to_vec(),
        b"PAR1\0\0\0\0PAR1".to_vec(),
        [b"PAR1", &bytes[4..bytes.len() - 4], b"PARE"].concat(),
        Vec::new(),
    ];
    for bytes in wrong {
        assert_eq!(count_parquet(&bytes).unwrap_err().code(), "records.corrupt");
    }
    let says = |bytes: &[u8]| count_parquet(&bytes.to_vec()).unwrap_err().to_string();
    assert!(says(&parquet(31, &[10, 20])).contains("another number of rows"));
    let encrypted = [b"PAR1", &bytes[4..bytes.len() - 4], b"PARE"].concat();
    assert!(says(&encrypted).contains("encrypted"));
    // Field 3 is the number of rows, field 4 a list of numbers in the place of row groups.
    let footer = [0x36, 0, 0x19, 0x16, 2, 0];
    let flat = [b"PAR1", &footer[..], &6_u32.to_le_bytes(), b"PAR1"].concat();
    assert!(says(&flat).contains("row groups are none"));
    // An empty list has no type of elements to be wrong.
    let empty = [b"PAR1", &[0x36, 0, 0x19, 0x06, 0][..], &5_u32.to_le_bytes(), b"PAR1"].concat();
    assert_eq!(count_parquet(&empty).unwrap().records, 0);
    // The footer must lie behind the first four bytes.
    let overlap = [b"PAR1", &2_u32.to_le_bytes()[..], b"PAR1"].concat();
    assert!(says(&overlap).contains("impossible length"));
    let mut random = Random::new(3);
    for _ in 0..20_000 {
        let mut bytes = parquet(30, &[10, 20]);
        for _ in 0..=random.below(3) {
            let at = 4 + random.below(bytes.len() - 8);
            bytes[at] = random.below(256) as u8;
        }
        if let Err(error) = count_parquet(&bytes) {
            assert!(matches!(error, Error::Corrupt { .. }));
        }
    }
}
