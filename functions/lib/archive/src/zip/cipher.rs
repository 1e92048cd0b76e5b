//! Decryption of zip entries: the old ZipCrypto and WinZip's AES.

use std::io::{self, Read};

use aes::{Aes128, Aes192, Aes256};
use ctr::Ctr128LE;
use ctr::cipher::{KeyIvInit, StreamCipher};
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use zeroize::Zeroizing;

use super::directory::{Aes, Record};
use crate::error::Reason;

const ENCRYPTED: u16 = 1;
const DESCRIPTOR: u16 = 1 << 3;
/// Bytes in front of ZipCrypto content; the last one lets a wrong password be noticed.
const ZIPCRYPTO_HEADER_BYTES: usize = 12;
/// Bytes that verify an AES password.
const VERIFIER_BYTES: usize = 2;
/// Bytes of the authentication code behind AES content.
const CODE_BYTES: usize = 10;
const ITERATIONS: u32 = 1000;

/// Puts the entry's decryption, if any, over its stored bytes.
pub(super) fn open<'a>(
    stored: io::Take<impl Read + 'a>,
    record: &Record,
    password: Option<&str>,
) -> io::Result<Box<dyn Read + 'a>> {
    if record.flags & ENCRYPTED == 0 {
        return Ok(Box::new(stored));
    }
    let password = password.ok_or(Reason::Encrypted)?.as_bytes();
    match record.aes {
        Some(aes) => Ok(Box::new(AesReader::open(stored, aes, password)?)),
        None => Ok(Box::new(ZipCrypto::open(stored, record, password)?)),
    }
}

/// The stream cipher of the zip format's first decades. It hides nothing from an attacker.
struct ZipCrypto<R> {
    inner: R,
    keys: [u32; 3],
}

impl<R: Read> ZipCrypto<R> {
    fn open(inner: R, record: &Record, password: &[u8]) -> io::Result<Self> {
        let mut cipher = Self { inner, keys: [0x1234_5678, 0x2345_6789, 0x3456_7890] };
        for &byte in password {
            cipher.advance(byte);
        }
        let mut header = [0; ZIPCRYPTO_HEADER_BYTES];
        cipher.inner.read_exact(&mut header)?;
        cipher.decrypt(&mut header);
        let expected = if record.flags & DESCRIPTOR == 0 {
            record.crc.to_le_bytes()[3]
        } else {
            record.time.to_le_bytes()[1]
        };
        if header.last() != Some(&expected) {
            return Err(Reason::WrongPassword.into());
        }
        Ok(cipher)
    }

    fn advance(&mut self, plain: u8) {
        let [a, b, c] = &mut self.keys;
        *a = crc_step(*a, plain);
        *b = b.wrapping_add(*a & 0xff).wrapping_mul(134_775_813).wrapping_add(1);
        *c = crc_step(*c, (*b >> 24) as u8);
    }

    fn decrypt(&mut self, bytes: &mut [u8]) {
        for byte in bytes {
            let [_, _, c] = self.keys;
            let key = (c | 2) & 0xffff;
            *byte ^= (key.wrapping_mul(key ^ 1) >> 8) as u8;
            self.advance(*byte);
        }
    }
}

impl<R: Read> Read for ZipCrypto<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buf)?;
        self.decrypt(buf.get_mut(..read).unwrap_or_default());
        Ok(read)
    }
}

/// One byte through the CRC-32 register, without the inversions of a whole checksum.
fn crc_step(register: u32, byte: u8) -> u32 {
    const TABLE: [u32; 256] = crc_table();
    let index = (register ^ u32::from(byte)) & 0xff;
    TABLE.get(index as usize).copied().unwrap_or_default() ^ (register >> 8)
}

#[expect(clippy::indexing_slicing, reason = "evaluated by the compiler, where a slip is an error")]
const fn crc_table() -> [u32; 256] {
    let mut table = [0; 256];
    let mut index = 0;
    while index < 256 {
        let mut value = index as u32;
        let mut bit = 0;
        while bit < 8 {
            value = if value & 1 == 1 { 0xedb8_8320 ^ (value >> 1) } else { value >> 1 };
            bit += 1;
        }
        table[index] = value;
        index += 1;
    }
    table
}

/// AES in WinZip's counter mode, with the authentication code checked at the end of the content.
struct AesReader<R> {
    inner: io::Take<R>,
    cipher: Box<dyn StreamCipher + Send>,
    code: Hmac<Sha1>,
    left: u64,
    verified: bool,
}

impl<R: Read> AesReader<R> {
    fn open(mut inner: io::Take<R>, aes: Aes, password: &[u8]) -> io::Result<Self> {
        let key_bytes = 8 + 8 * usize::from(aes.strength);
        let salt_bytes = key_bytes / 2;
        let around = (salt_bytes + VERIFIER_BYTES + CODE_BYTES) as u64;
        let left = inner.limit().checked_sub(around).ok_or(Reason::Truncated)?;
        let mut salt = vec![0; salt_bytes];
        inner.read_exact(&mut salt)?;
        let mut verifier = [0; VERIFIER_BYTES];
        inner.read_exact(&mut verifier)?;
        let mut derived = Zeroizing::new(vec![0; 2 * key_bytes + VERIFIER_BYTES]);
        pbkdf2::pbkdf2_hmac::<Sha1>(password, &salt, ITERATIONS, &mut derived);
        let (key, rest) = derived.split_at_checked(key_bytes).ok_or(Reason::Truncated)?;
        let (code_key, expected) = rest.split_at_checked(key_bytes).ok_or(Reason::Truncated)?;
        if verifier != expected {
            return Err(Reason::WrongPassword.into());
        }
        let unusable = || Reason::corrupt("its AES key has the wrong length");
        let code = Hmac::new_from_slice(code_key).map_err(|_| unusable())?;
        let cipher = counter_mode(key).ok_or_else(unusable)?;
        Ok(Self { inner, cipher, code, left, verified: false })
    }

    fn verify(&mut self) -> io::Result<()> {
        let mut stated = [0; CODE_BYTES];
        self.inner.read_exact(&mut stated)?;
        self.code
            .clone()
            .verify_truncated_left(&stated)
            .map_err(|_| io::Error::from(Reason::Checksum))?;
        self.verified = true;
        Ok(())
    }
}

/// The counter is little-endian and starts at 1.
fn counter_mode(key: &[u8]) -> Option<Box<dyn StreamCipher + Send>> {
    let start = 1_u128.to_le_bytes();
    Some(match key.len() {
        16 => Box::new(Ctr128LE::<Aes128>::new_from_slices(key, &start).ok()?),
        24 => Box::new(Ctr128LE::<Aes192>::new_from_slices(key, &start).ok()?),
        32 => Box::new(Ctr128LE::<Aes256>::new_from_slices(key, &start).ok()?),
        _ => return None,
    })
}

impl<R: Read> Read for AesReader<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        if self.left == 0 {
            if !self.verified {
                self.verify()?;
            }
            return Ok(0);
        }
        let wanted = usize::try_from(self.left).unwrap_or(usize::MAX).min(buf.len());
        let buf = buf.get_mut(..wanted).unwrap_or_default();
        let read = self.inner.read(buf)?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let bytes = buf.get_mut(..read).unwrap_or_default();
        self.left -= read as u64;
        self.code.update(bytes);
        self.cipher.apply_keystream(bytes);
        Ok(read)
    }
}
