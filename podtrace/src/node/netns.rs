//! A network namespace that can be entered.
