//! Relinks the kernel object when bpf-linker itself changes; nothing to do on
//! the host, where this crate is only the wire contract.

use std::env;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    if env::var_os("CARGO_CFG_TARGET_ARCH").is_none_or(|arch| arch != "bpf") {
        return;
    }
    let path = env::var_os("PATH").unwrap_or_default();
    let linker = env::split_paths(&path)
        .map(|dir| dir.join("bpf-linker"))
        .find(|file| file.is_file());
    if let Some(linker) = linker {
        println!("cargo:rerun-if-changed={}", linker.display());
    }
}
