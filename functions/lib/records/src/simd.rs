//! Wide instructions, chosen at run time: 64 bytes at once become bit masks, one bit per byte.
//!
//! Which instructions a processor has is known only when the program runs, so each kernel is compiled
//! for every level and the best one is taken. A processor without any of them takes plain code.

use std::fmt;

use fearless_simd::{Simd, SimdBase, SimdMask, dispatch, u8x64};

/// Bytes that are looked at together.
pub(crate) const BLOCK_BYTES: usize = 64;

/// Which instructions count. All levels give the same counts; they are named for tests and benchmarks.
#[derive(Clone, Copy)]
pub struct Level(fearless_simd::Level);

impl Level {
    /// The fastest that this processor has.
    #[must_use]
    pub fn best() -> Self {
        Self(fearless_simd::Level::new())
    }

    /// Every level that this processor has, slowest first; the first is plain code.
    #[must_use]
    pub fn all() -> Vec<Self> {
        let mut all = vec![fearless_simd::Level::fallback()];
        let best = fearless_simd::Level::new();
        #[cfg(target_arch = "x86_64")]
        {
            all.extend(best.as_sse2().map(fearless_simd::Simd::level));
            all.extend(best.as_sse4_2().map(fearless_simd::Simd::level));
            all.extend(best.as_avx2().map(fearless_simd::Simd::level));
            all.extend(best.as_avx512().map(fearless_simd::Simd::level));
        }
        #[cfg(not(target_arch = "x86_64"))]
        if !best.is_fallback() {
            all.push(best);
        }
        all.into_iter().map(Self).collect()
    }
}

impl fmt::Debug for Level {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let debug = format!("{:?}", self.0);
        formatter.write_str(debug.split('(').next().unwrap_or_default())
    }
}

/// 64 bytes that are compared at once.
#[derive(Clone, Copy)]
pub(crate) struct Block<S: Simd> {
    simd: S,
    bytes: u8x64<S>,
}

impl<S: Simd> Block<S> {
    /// One bit for each byte that is `byte`; the first byte has the lowest bit.
    #[inline(always)]
    pub(crate) fn find(self, byte: u8) -> u64 {
        self.bytes.simd_eq(u8x64::splat(self.simd, byte)).to_bitmask()
    }

    /// One bit for each byte that is one of two.
    #[inline(always)]
    pub(crate) fn find_either(self, one: u8, other: u8) -> u64 {
        let one = self.bytes.simd_eq(u8x64::splat(self.simd, one));
        let other = self.bytes.simd_eq(u8x64::splat(self.simd, other));
        (one | other).to_bitmask()
    }
}

/// What is done with each block. Copied into registers while a run of blocks is read.
pub(crate) trait Kernel: Copy {
    /// Reads one block.
    fn read<S: Simd>(&mut self, block: Block<S>);
}

/// Hands all whole blocks to the kernel and gives the bytes behind them.
pub(crate) fn blocks<'a, K: Kernel>(level: Level, kernel: &mut K, bytes: &'a [u8]) -> &'a [u8] {
    let (blocks, rest) = bytes.as_chunks::<BLOCK_BYTES>();
    if !blocks.is_empty() {
        *kernel = dispatch!(level.0, simd => run(simd, *kernel, blocks));
    }
    rest
}

// Inlined, all of them, into a function that has the level's instructions enabled.
#[inline(always)]
fn run<S: Simd, K: Kernel>(simd: S, mut kernel: K, blocks: &[[u8; BLOCK_BYTES]]) -> K {
    for block in blocks {
        kernel.read(Block { simd, bytes: u8x64::from_slice(simd, block) });
    }
    kernel
}

/// A mask moved one byte on: bit n says what the byte before byte n is; `before` says it for byte 0,
/// whose bit the shift leaves empty.
#[inline(always)]
pub(crate) const fn behind(mask: u64, before: u64) -> u64 {
    mask << 1 | before
}

/// The last byte's bit of a mask: what [`behind`] needs for the next block.
#[inline(always)]
pub(crate) const fn last(mask: u64) -> u64 {
    mask >> (BLOCK_BYTES - 1)
}
