//! Time in columns of one width, which doubles as time goes on: bounded memory for a session of any
//! length, of which nobody knows the end.
use std::mem;

/// Upper bound of the columns.
pub const COLUMNS_MAX: usize = 96;
/// Width of the columns at first, in nanoseconds.
const WIDTH_NS: u64 = 1 << 16;

/// What columns hold.
pub trait Cell: Default {
    /// Takes over what the column behind holds.
    fn join(&mut self, later: Self);
}

/// The columns of a session's time.
#[derive(Clone, Copy, Debug)]
pub struct Columns {
    start_ns: Option<u64>,
    width_ns: u64,
}

impl Default for Columns {
    fn default() -> Self {
        Self {
            start_ns: None,
            width_ns: WIDTH_NS,
        }
    }
}

impl Columns {
    /// The column of a time. The first time is the begin: earlier ones are in the first column.
    /// `halve` is called for each doubling of the width.
    pub fn of(&mut self, ts_ns: u64, mut halve: impl FnMut()) -> usize {
        let start_ns = *self.start_ns.get_or_insert(ts_ns);
        let after_ns = ts_ns.saturating_sub(start_ns);
        loop {
            let column = usize::try_from(after_ns / self.width_ns).unwrap_or(usize::MAX);
            if column < COLUMNS_MAX {
                return column;
            }
            self.width_ns = self.width_ns.saturating_mul(2);
            halve();
        }
    }

    /// When the first column begins.
    #[must_use]
    pub fn start_ns(&self) -> u64 {
        self.start_ns.unwrap_or(0)
    }

    /// How much time a column has.
    #[must_use]
    pub fn width_ns(&self) -> u64 {
        self.width_ns
    }
}

/// Joins cells in pairs, once the width has doubled.
pub fn halve<C: Cell>(cells: &mut Vec<C>) {
    let mut all = mem::take(cells).into_iter();
    while let Some(mut cell) = all.next() {
        if let Some(later) = all.next() {
            cell.join(later);
        }
        cells.push(cell);
    }
}

/// The cell of a column.
pub fn cell<C: Cell>(cells: &mut Vec<C>, column: usize) -> Option<&mut C> {
    if cells.len() <= column {
        cells.resize_with(column + 1, C::default);
    }
    cells.get_mut(column)
}

/// Latencies of one column, with an error of an eighth.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Latencies {
    /// How many.
    pub count: u64,
    /// The largest, exact.
    pub max_ns: u64,
    /// How many by [`class`], in order.
    classes: Vec<(u8, u32)>,
}

/// Classes of a power of two.
const PARTS: u64 = 4;

/// The number of a value's class: four of them double it.
fn class(ns: u64) -> u8 {
    let Some(power) = ns.checked_ilog2() else {
        return 0;
    };
    let part = match power {
        0 | 1 => 0,
        _ => (ns >> (power - 2)) % PARTS,
    };
    u8::try_from(u64::from(power) * PARTS + part).unwrap_or(u8::MAX)
}

/// The middle of a class.
fn middle(class: u8) -> u64 {
    let (power, part) = (u64::from(class) / PARTS, u64::from(class) % PARTS);
    let low = 1_u128 << power;
    let middle = low + (2 * u128::from(part) + 1) * low / (2 * u128::from(PARTS));
    u64::try_from(middle).unwrap_or(u64::MAX)
}

impl Latencies {
    /// Adds one.
    pub fn add(&mut self, ns: u64) {
        self.count += 1;
        self.max_ns = self.max_ns.max(ns);
        self.add_to_class(class(ns), 1);
    }

    fn add_to_class(&mut self, class: u8, count: u32) {
        match self
            .classes
            .binary_search_by_key(&class, |(class, _)| *class)
        {
            Ok(at) => self.classes[at].1 = self.classes[at].1.saturating_add(count),
            Err(at) => self.classes.insert(at, (class, count)),
        }
    }

    /// The median.
    #[must_use]
    pub fn median_ns(&self) -> u64 {
        let mut left = self.count.div_ceil(2);
        for (class, count) in &self.classes {
            let count = u64::from(*count);
            if left <= count {
                return middle(*class).min(self.max_ns);
            }
            left -= count;
        }
        self.max_ns
    }
}

impl Cell for Latencies {
    fn join(&mut self, later: Self) {
        self.count += later.count;
        self.max_ns = self.max_ns.max(later.max_ns);
        for (class, count) in later.classes {
            self.add_to_class(class, count);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    impl Cell for u64 {
        fn join(&mut self, later: Self) {
            *self += later;
        }
    }

    #[test]
    fn median_is_that_of_few_values() {
        let mut latencies = Latencies::default();
        assert_eq!(latencies.median_ns(), 0);
        [100, 1_000, 1_000_000]
            .iter()
            .for_each(|ns| latencies.add(*ns));
        assert!((875..=1125).contains(&latencies.median_ns()));
        assert_eq!((latencies.count, latencies.max_ns), (3, 1_000_000));
    }

    proptest! {
        /// Every value is in one column, and columns say when it was.
        #[test]
        fn columns_hold_all_and_stay_bounded(
            times in prop::collection::vec(any::<u64>(), 1..200),
        ) {
            let (mut columns, mut cells) = (Columns::default(), Vec::new());
            for ts_ns in &times {
                let column = columns.of(*ts_ns, || halve(&mut cells));
                *cell(&mut cells, column).unwrap() += 1;
            }
            prop_assert!(cells.len() <= COLUMNS_MAX);
            prop_assert_eq!(cells.iter().sum::<u64>(), times.len() as u64);
            let mut expected = vec![0; cells.len()];
            for ts_ns in &times {
                let after_ns = ts_ns.saturating_sub(columns.start_ns());
                expected[usize::try_from(after_ns / columns.width_ns()).unwrap()] += 1;
            }
            prop_assert_eq!(cells, expected);
        }

        #[test]
        fn classes_are_right_to_an_eighth(ns in any::<u64>()) {
            let shown = middle(class(ns));
            prop_assert!(shown.abs_diff(ns) <= ns / 8 + 1, "{} {}", ns, shown);
        }

        #[test]
        fn joined_is_as_added(values in prop::collection::vec(0..10_000_000_u64, 0..50)) {
            let (mut all, mut parts) = (Latencies::default(), [(); 2].map(|()| Latencies::default()));
            for (number, ns) in values.iter().enumerate() {
                all.add(*ns);
                parts[number % 2].add(*ns);
            }
            let [mut one, other] = parts;
            one.join(other);
            prop_assert_eq!(one, all);
        }
    }
}
