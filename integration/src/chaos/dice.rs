//! Chance that comes out the same for the same seed, on every machine and for ever.

/// `SplitMix64`: small, and every seed gives another series.
#[derive(Clone, Debug)]
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x6a09_e667_f3bc_c909)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// From 0 to `sides - 1`.
    pub(super) fn below(&mut self, sides: u64) -> u64 {
        self.next() % sides.max(1)
    }

    /// One of these.
    pub(super) fn one<T: Clone>(&mut self, of: &[T]) -> T {
        of[self.below(of.len() as u64) as usize].clone()
    }

    /// From 1 to `most`, small numbers more often: each size of number is as likely as any other.
    pub(super) fn skewed(&mut self, most: u64) -> u64 {
        let bits = u64::from(u64::BITS - most.leading_zeros());
        let below = 1_u64 << (1 + self.below(bits));
        1 + self.below(below.min(most))
    }

    /// Bytes that nobody can pack, none of which means anything in CSV.
    pub(super) fn bytes(&mut self, count: usize) -> Vec<u8> {
        let bytes = std::iter::repeat_with(|| self.next().to_le_bytes()).flatten();
        bytes.map(|byte| if byte < b'-' { byte | 0x80 } else { byte }).take(count).collect()
    }

    /// In another order.
    pub(super) fn shuffle<T>(&mut self, these: &mut [T]) {
        for last in (1..these.len()).rev() {
            these.swap(last, self.below(last as u64 + 1) as usize);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_is_a_series_and_another_seed_another_one() {
        let series = |seed| {
            let mut dice = Dice::new(seed);
            [(); 8].map(|()| dice.below(1000))
        };
        assert_eq!(series(1), series(1));
        assert_ne!(series(1), series(2));
        let mut dice = Dice::new(3);
        assert!((0..1000).all(|_| (1..=24).contains(&dice.skewed(24))));
    }
}
