//! End-to-end tests, and the lab with a real container runtime they run on.

pub mod api_server;
pub mod cri_lab;
pub mod frames;
pub mod newcomer;
pub mod yardstick;

#[cfg(test)]
mod cases;
