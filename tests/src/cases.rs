//! The cases, one module for each subject.

mod churn;
mod command;
mod lab;
mod program;
mod roads;
mod tracer;
