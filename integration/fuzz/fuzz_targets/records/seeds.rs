//! First inputs: small files of every model, and hand-made Parquet and Avro.

/// All of them, each behind the bytes that choose model, options and cuts.
pub fn seeds() -> Vec<Vec<u8>> {
    let texts: [&[u8]; 12] = [
        b"",
        b"id,name\n1,Ada\n2,Grace\n",
        b"id,name\r\n1,\"Ada,\r\nCountess\"\r\n2,Grace",
        b"\xef\xbb\xbfa\rb\r\rc\n\n",
        b"\xff\xfea\0\n\0",
        b"\xfe\xff\0a\0\n",
        b"{\"a\":1}\n \t\r\n{\"a\":2}",
        b"a\\\nb,\"c\\\"d\"\"e\",\"\"\nf",
        b"\"never closed\nand on",
        b"HDR count=17; x\n1\n2\nTRL|2\n\n",
        b"\xef\xbb\xbfTRL|99999999999999999999999",
        b"12345678901234567890123456789012",
    ];
    let long = [vec![b'a'; 300], b"\r\n".repeat(300), b"b,\"c\n\"\n".repeat(40)].concat();
    let mut made = Vec::new();
    for kind in 0..6 {
        for option in [0, 1, 2, 3, 0x0c, 0x35, 0xff] {
            for (number, text) in texts.iter().enumerate() {
                let part = (number + usize::from(option)) % 3;
                if part < 2 {
                    let rules = if part == 0 { 0 } else { 16 };
                    made.push([&[kind | rules, option, 3, 1], *text].concat());
                }
            }
        }
        made.push([&[kind, 0, 5, 2], long.as_slice()].concat());
    }
    made.extend(parquets().into_iter().map(|bytes| [&[6, 0, 0, 0], bytes.as_slice()].concat()));
    made.extend(avros().into_iter().map(|bytes| [&[7, 0, 0, 0], bytes.as_slice()].concat()));
    made
}

/// A file as an input, counted as what its name says it is.
pub fn frame(name: &str, bytes: &[u8]) -> Vec<u8> {
    let kind = match name.rsplit('.').next() {
        Some("parquet") => 6,
        Some("avro") => 7,
        Some("jsonl") => 1,
        Some("csv") => 4,
        _ => 0,
    };
    [&[kind, 0, 3, 1], bytes].concat()
}

fn number(value: i64) -> Vec<u8> {
    let mut left = ((value << 1) ^ (value >> 63)).cast_unsigned();
    let mut bytes = Vec::new();
    while left > 0x7f {
        bytes.push((left & 0x7f) as u8 | 0x80);
        left >>= 7;
    }
    bytes.push(left as u8);
    bytes
}

fn parquets() -> Vec<Vec<u8>> {
    let file = |footer: &[u8]| {
        let length = u32::try_from(footer.len()).unwrap_or_default().to_le_bytes();
        [b"PAR1", b"pages".as_slice(), footer, &length, b"PAR1"].concat()
    };
    let group = |rows| [&[0x36], number(rows).as_slice(), &[0]].concat();
    let footer = |rows, groups: &[u8]| {
        [&[0x15, 2, 0x26], number(rows).as_slice(), &[0x19], groups, &[0]].concat()
    };
    let two = [&[0x2c], group(3).as_slice(), &group(4)].concat();
    // Version, a list of structs, the rows, the groups, and every other type behind them.
    let rich = [
        &[0x15, 2, 0x19, 0x1c, 0x15, 2, 0x18, 2, b'i', b'd', 0, 0x16, 14, 0x19],
        two.as_slice(),
        &[0x11, 0x12, 0x13, 9, 0x14, 4, 0x17, 0, 0, 0, 0, 0, 0, 0, 0],
        &[0x1b, 1, 0x85, 2, b'k', b'v', 8, 0x1a, 0x21, 1, 2, 0x1d],
        &[0; 16],
        &[0x05, 40, 1, 0],
    ]
    .concat();
    vec![
        file(&footer(7, &two)),
        file(&rich),
        file(&footer(8, &two)),
        file(&footer(-1, &two)),
        file(&footer(0, &[0x0c])),
        file(&footer(0, &[0x1c, 0x26, 5, 0, 0])),
        file(&footer(0, &[0xfc, 0xff, 0xff, 0xff, 0xff, 0x0f])),
        file(&[0x19; 40]),
        file(&[0x1f]),
        file(&[0x18, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]),
        file(b""),
        b"PAR1\x01\0\0\0PARE".to_vec(),
        b"PAR1".to_vec(),
        b"PAR1\xff\xff\xff\xffPAR1".to_vec(),
    ]
}

fn avros() -> Vec<Vec<u8>> {
    let sync = [7_u8; 16];
    let text = |text: &[u8]| [number(text.len() as i64).as_slice(), text].concat();
    let pair = [text(b"avro.schema"), text(b"\"string\"")].concat();
    let header = [b"Obj\x01", number(1).as_slice(), &pair, &[0], &sync].concat();
    let length = number(pair.len() as i64);
    let sized = [b"Obj\x01", number(-1).as_slice(), &length, &pair, &[0], &sync].concat();
    let block = |count, data: &[u8]| [number(count), text(data), sync.to_vec()].concat();
    vec![
        header.clone(),
        [header.as_slice(), &block(3, b"abcdef"), &block(100, b"x")].concat(),
        [sized, block(2, b"ab")].concat(),
        [header.as_slice(), &block(-3, b"abcdef")].concat(),
        [header.as_slice(), &block(i64::MAX, b""), &block(i64::MAX, b""), &block(9, b"")].concat(),
        [header.as_slice(), &block(3, b"abcdef")[..9]].concat(),
        [header.as_slice(), &block(3, b"abc")[..12], &[8; 12]].concat(),
        [b"Obj\x01", number(20_000).as_slice()].concat(),
        [b"Obj\x01".as_slice(), &[0xff; 12]].concat(),
        b"Obj\x02".to_vec(),
    ]
}
