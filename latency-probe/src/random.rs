//! One fixed stream of numbers for each seed, the same on every device and at compile time.

/// Marsaglia's xorshift with 32 bits of state.
pub(crate) struct Random(u32);

impl Random {
    /// The stream of a seed. Neighbouring seeds give unlike streams (the finaliser of MurmurHash3).
    pub(crate) const fn new(seed: u32) -> Self {
        let mut state = seed ^ 0x9E37_79B9;
        state = (state ^ (state >> 16)).wrapping_mul(0x85EB_CA6B);
        state = (state ^ (state >> 13)).wrapping_mul(0xC2B2_AE35);
        state ^= state >> 16;
        Self(if state == 0 { 1 } else { state })
    }

    pub(crate) const fn next(&mut self) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 17;
        self.0 ^= self.0 << 5;
        self.0
    }

    /// Below `end`, as evenly as a measurement needs.
    pub(crate) const fn below(&mut self, end: u32) -> u32 {
        ((self.next() as u64 * end as u64) >> 32) as u32
    }
}
