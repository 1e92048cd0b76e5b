//! AES-256 in cipher feedback mode, as SEIPD version 1 wants it: an initial vector of zeros, and
//! one chain through the whole container.
//!
//! Encryption is that chain: every block waits for the one before it, and the processor with it.
//! The hash of the modification detection code is a chain of its own over the same bytes. In one
//! loop, a few blocks of each in turns, both take as long as the encryption alone. Decryption
//! knows all blocks beforehand and needs no such care.

use std::mem::size_of;

use aes::cipher::consts::U16;
use aes::cipher::{
    BlockCipherEncBackend, BlockCipherEncClosure, BlockCipherEncrypt, BlockSizeUser, KeyInit,
};
use aes::{Aes256Enc, Block};
use sequoia_openpgp::crypto::SessionKey;
use sha1::{Digest, Sha1};

use crate::error::Error;

/// A block of the cipher.
const BLOCK_BYTES: usize = size_of::<Block>();
/// A block of the hash, and a whole number of blocks of the cipher.
const STRIDE_BYTES: usize = 64;
/// How many blocks are decrypted at once.
const AT_ONCE: usize = 128;

/// The chain of either direction.
struct Chain {
    aes: Aes256Enc,
    /// What the last block left: its ciphertext, or in part still the key stream for the next
    /// bytes.
    feedback: Block,
    /// How many bytes of `feedback` are ciphertext.
    used: usize,
}

impl Chain {
    fn new(key: &SessionKey) -> Result<Self, Error> {
        let aes = Aes256Enc::new_from_slice(key)
            .map_err(|_| Error::Seal { reason: "the session key has no 32 bytes".to_owned() })?;
        Ok(Self { aes, feedback: Block::default(), used: BLOCK_BYTES })
    }

    /// Byte by byte, for what does not fill a block: `cipher` tells the ciphertext from a byte and
    /// from what became of it.
    fn crawl(&mut self, data: &mut [u8], cipher: impl Fn(u8, u8) -> u8) {
        for byte in data {
            if self.used == BLOCK_BYTES {
                self.aes.encrypt_block(&mut self.feedback);
                self.used = 0;
            }
            if let Some(slot) = self.feedback.get_mut(self.used) {
                let before = *byte;
                *byte ^= *slot;
                *slot = cipher(before, *byte);
            }
            self.used += 1;
        }
    }
}

/// Encrypts one container and hashes what goes into it.
pub(crate) struct Encryption {
    chain: Chain,
    hash: Sha1,
    /// Bytes since the last full stride.
    position: usize,
}

impl Encryption {
    pub(crate) fn new(key: &SessionKey) -> Result<Self, Error> {
        Ok(Self { chain: Chain::new(key)?, hash: Sha1::new(), position: 0 })
    }

    /// The next bytes of the container, in place.
    pub(crate) fn apply(&mut self, data: &mut [u8]) {
        let missing = (STRIDE_BYTES - self.position) % STRIDE_BYTES;
        let (head, body) = data.split_at_mut(missing.min(data.len()));
        self.apply_odd(head);
        let (strides, tail) = body.as_chunks_mut();
        if !strides.is_empty() {
            let Self { chain, hash, .. } = self;
            let feedback = &mut chain.feedback;
            chain.aes.encrypt_with_backend(Strides { strides, feedback, hash });
        }
        self.apply_odd(tail);
    }

    fn apply_odd(&mut self, data: &mut [u8]) {
        self.hash.update(&*data);
        self.chain.crawl(data, |_, after| after);
        self.position = (self.position + data.len()) % STRIDE_BYTES;
    }

    /// The last bytes: `before` goes in like all others, and then the hash of everything.
    pub(crate) fn finish(&mut self, before: &mut [u8], digest: &mut [u8; 20]) {
        self.apply_odd(before);
        *digest = self.hash.finalize_reset().into();
        self.chain.crawl(digest, |_, after| after);
    }
}

/// The inner loop of [`Encryption::apply`], compiled for what the processor can do.
struct Strides<'a> {
    strides: &'a mut [[u8; STRIDE_BYTES]],
    feedback: &'a mut Block,
    hash: &'a mut Sha1,
}

impl BlockSizeUser for Strides<'_> {
    type BlockSize = U16;
}

impl BlockCipherEncClosure for Strides<'_> {
    #[inline(always)]
    fn call<B: BlockCipherEncBackend<BlockSize = U16>>(self, backend: &B) {
        let mut feedback = *self.feedback;
        for stride in self.strides {
            self.hash.update(stride.as_slice());
            let (blocks, _) = stride.as_chunks_mut();
            for block in blocks {
                backend.encrypt_block((&mut feedback).into());
                let mixed = u128::from_ne_bytes(feedback.0) ^ u128::from_ne_bytes(*block);
                *block = mixed.to_ne_bytes();
                feedback.0 = *block;
            }
        }
        *self.feedback = feedback;
    }
}

/// Decrypts one container.
pub(crate) struct Decryption {
    chain: Chain,
    scratch: [Block; AT_ONCE],
}

impl Decryption {
    pub(crate) fn new(key: &SessionKey) -> Result<Self, Error> {
        Ok(Self { chain: Chain::new(key)?, scratch: [Block::default(); AT_ONCE] })
    }

    /// The next bytes of the container, in place.
    pub(crate) fn apply(&mut self, data: &mut [u8]) {
        let missing = BLOCK_BYTES - self.chain.used;
        let (head, body) = data.split_at_mut(missing.min(data.len()));
        self.chain.crawl(head, |before, _| before);
        let (blocks, tail) = body.as_chunks_mut();
        for blocks in blocks.chunks_mut(AT_ONCE) {
            self.apply_blocks(blocks);
        }
        self.chain.crawl(tail, |before, _| before);
    }

    fn apply_blocks(&mut self, blocks: &mut [[u8; BLOCK_BYTES]]) {
        let Self { chain, scratch } = self;
        let before = std::iter::once(chain.feedback.0).chain(blocks.iter().copied());
        let (Some(last), Some(scratch)) = (blocks.last(), scratch.get_mut(..blocks.len())) else {
            return;
        };
        for (slot, block) in scratch.iter_mut().zip(before) {
            slot.0 = block;
        }
        chain.feedback.0 = *last;
        chain.aes.encrypt_blocks(scratch);
        for (block, key) in blocks.iter_mut().zip(scratch) {
            let mixed = u128::from_ne_bytes(*block) ^ u128::from_ne_bytes(key.0);
            *block = mixed.to_ne_bytes();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `openssl enc -aes-256-cfb` makes of the bytes 0 to 99 with the key 0 to 31.
    const KNOWN: &str = "f29102b52e4c99d7a1fa9061d123798f8af4819cc14fd031e0499c25bf6d87cb83381f33abcff67f\
        1dd472d7496e18d52449fe36a4e3d40439bfd30ed52e2a35151ee79694141977926ab6b4b6596d72\
        17fb6aa716f4398c8df2c9533a5505e51f72d067";

    fn key() -> SessionKey {
        (0..32).collect::<Vec<u8>>().into()
    }

    fn count_up(bytes: usize) -> Vec<u8> {
        (0..bytes).map(|number| number as u8).collect()
    }

    #[test]
    fn another_program_encrypts_alike() {
        let mut data = count_up(100);
        Encryption::new(&key()).unwrap().apply(&mut data);
        assert_eq!(hex::encode(&data), KNOWN);
        Decryption::new(&key()).unwrap().apply(&mut data);
        assert_eq!(data, count_up(100));
    }

    #[test]
    fn the_pieces_do_not_matter() {
        let mut whole = count_up(9000);
        Encryption::new(&key()).unwrap().apply(&mut whole);
        for piece_bytes in (1..200).chain([2047, 2048, 2049, 4096, 8999]) {
            let mut data = count_up(9000);
            let mut encryption = Encryption::new(&key()).unwrap();
            data.chunks_mut(piece_bytes).for_each(|piece| encryption.apply(piece));
            assert!(data == whole, "encrypted by {piece_bytes}");
            let mut decryption = Decryption::new(&key()).unwrap();
            data.chunks_mut(piece_bytes).for_each(|piece| decryption.apply(piece));
            assert!(data == count_up(9000), "decrypted by {piece_bytes}");
        }
    }

    #[test]
    fn the_hash_covers_what_goes_in_and_comes_last() {
        for bytes in 0..200 {
            let mut data = count_up(bytes);
            let (mut before, mut digest) = ([0xd3, 0x14], [0; 20]);
            let mut encryption = Encryption::new(&key()).unwrap();
            encryption.apply(&mut data);
            encryption.finish(&mut before, &mut digest);
            let mut all = [&*data, &before, &digest].concat();
            Decryption::new(&key()).unwrap().apply(&mut all);
            let (hashed, digest) = all.split_last_chunk().unwrap();
            assert_eq!(hashed, [&*count_up(bytes), &[0xd3, 0x14]].concat());
            assert_eq!(Sha1::digest(hashed), *digest, "{bytes} bytes");
        }
    }
}
