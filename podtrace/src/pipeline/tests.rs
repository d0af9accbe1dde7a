//! What a pipeline keeps is bounded, whatever comes.
mod churn;
mod memory;
