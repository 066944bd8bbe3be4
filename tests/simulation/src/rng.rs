//! The only source of chance: one small generator per seed.
//!
//! **Invariant:** the same seed draws the same numbers, on every machine and for ever.

/// A generator of the splitmix64 family.
#[derive(Debug, Clone)]
pub struct Rng(u64);

impl Rng {
    /// Starts a generator. Seeds that differ in one bit draw unrelated numbers.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Draws 64 bits.
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// Draws a number below `bound`; 0 where `bound` is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        let scaled = u128::from(self.draw()) * u128::from(bound);
        u64::try_from(scaled >> 64).unwrap_or_default()
    }

    /// Draws an index below `len`; 0 where `len` is 0.
    pub fn index(&mut self, len: usize) -> usize {
        usize::try_from(self.below(len as u64)).unwrap_or_default()
    }

    /// Says yes in `permille` of 1,000 cases. Draws nothing where that is never.
    pub fn chance(&mut self, permille: u64) -> bool {
        permille > 0 && self.below(1_000) < permille
    }
}

/// Scatters the bits of a number; also a cheap hash of two numbers by `mix(a ^ mix(b))`.
pub fn mix(number: u64) -> u64 {
    let z = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
