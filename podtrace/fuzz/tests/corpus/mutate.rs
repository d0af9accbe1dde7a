//! Makes inputs of kept ones, without a fuzzer.

/// Numbers at which code goes another way.
const NUMBERS: [u32; 9] = [0, 1, 4, 0x7f, 0xff, 0xffff, 0x7fff_ffff, 1 << 31, u32::MAX];
/// Changes to an input at most.
const CHANGES_MAX: usize = 4;

/// Changes kept inputs at random, in the same way at every run.
pub(crate) struct Mutator<'a> {
    kept: &'a [Vec<u8>],
    state: u64,
}

impl<'a> Mutator<'a> {
    pub(crate) fn new(kept: &'a [Vec<u8>]) -> Self {
        let state = 0x9e37_79b9_7f4a_7c15;
        Self { kept, state }
    }

    /// An input with some changes.
    pub(crate) fn next(&mut self) -> Vec<u8> {
        let mut input = self.any().to_vec();
        for _ in 0..=self.below(CHANGES_MAX) {
            self.change(&mut input);
        }
        input
    }

    fn change(&mut self, input: &mut Vec<u8>) {
        let at = self.below(input.len());
        let end = at + self.below(input.len() - at).min(64);
        match self.below(6) {
            0 => input.truncate(at),
            1 => drop(input.drain(at..end)),
            2 => input.extend_from_within(at..end),
            3 => {
                let other = self.any();
                input.truncate(at);
                input.extend_from_slice(&other[self.below(other.len())..]);
            }
            4 => self.put_number(&mut input[at..]),
            _ => {
                if let Some(byte) = input.get_mut(at) {
                    *byte ^= 1 << self.below(8);
                }
            }
        }
    }

    /// Puts one of [`NUMBERS`] there, of one, two or four bytes in either order.
    fn put_number(&mut self, place: &mut [u8]) {
        let number = NUMBERS[self.below(NUMBERS.len())];
        let len = (1 << self.below(3)).min(place.len());
        if self.below(2) == 0 {
            place[..len].copy_from_slice(&number.to_le_bytes()[..len]);
        } else {
            place[..len].copy_from_slice(&number.to_be_bytes()[4 - len..]);
        }
    }

    fn any(&mut self) -> &'a [u8] {
        &self.kept[self.below(self.kept.len())]
    }

    /// A number below the bound, or 0: xorshift.
    fn below(&mut self, bound: usize) -> usize {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        // Its high bits are the better ones.
        (self.state >> 32) as usize % bound.max(1)
    }
}
