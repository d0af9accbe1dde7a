//! What one console takes from all agents together.

/// Events a second unless there is another budget. A console spends 6,900 instructions on an event to
/// show it as text and 11,600 as JSON, from the recording to the line (`benches/instructions.txt`):
/// at three billion a second that is 250,000 events of a core, of which some are left for bursts.
const DEFAULT: u64 = 200_000;

/// A bound of the events a second of all agents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    total: u64,
    agents: u64,
}

impl Budget {
    /// `asked`: by the user, for so many agents together.
    #[must_use]
    pub fn new(asked: Option<u64>, agents: usize) -> Self {
        Self {
            total: asked.unwrap_or(DEFAULT),
            agents: u64::try_from(agents).unwrap_or(u64::MAX).max(1),
        }
    }

    /// Events a second of each agent.
    #[must_use]
    pub fn each(self) -> u64 {
        (self.total / self.agents).max(1)
    }

    /// In words.
    #[must_use]
    pub fn in_words(self) -> String {
        let Self { total, agents } = self;
        match agents {
            1 => format!("{total} events a second (--max-rate)"),
            _ => format!(
                "{total} events a second of all nodes, {} of each (--max-rate)",
                self.each()
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn shares_sum_up_to_the_budget(asked in 1u64.., agents in 1usize..100_000) {
            let budget = Budget::new(Some(asked), agents);
            let sum = u128::from(budget.each()) * agents as u128;
            prop_assert!(budget.each() > 0);
            prop_assert!(sum <= u128::from(asked).max(agents as u128));
            prop_assert!(budget.each() == 1 || sum + agents as u128 > u128::from(asked));
        }
    }

    #[test]
    fn nobody_has_to_ask_for_one() {
        assert_eq!(Budget::new(None, 200).each(), 1000);
        assert_eq!(Budget::new(Some(500_000), 200).each(), 2500);
    }
}
