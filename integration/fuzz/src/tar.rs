//! Repairs the checksums of tar headers, so that a change behind them is read at all.

const BLOCK: usize = 512;

/// Writes the right checksum into every block that looks like a header.
pub fn repair(bytes: &mut [u8]) {
    for block in bytes.chunks_exact_mut(BLOCK) {
        if block[0] != 0 && (block[257..262] == *b"ustar" || block[148..154].is_ascii()) {
            block[148..156].fill(b' ');
            let sum: u32 = block.iter().map(|&byte| u32::from(byte)).sum();
            block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        }
    }
}

/// Whether the bytes are a plain tar, more or less.
#[must_use]
pub fn is_tar(bytes: &[u8]) -> bool {
    bytes.len() >= BLOCK && bytes[257..262] == *b"ustar"
}
