//! bpf(2) where aya has no call for it (linux/bpf.h).
use std::{
    io,
    os::fd::{AsFd, AsRawFd as _, FromRawFd as _, OwnedFd},
};

/// `BPF_MAP_LOOKUP_ELEM`.
const MAP_LOOKUP: libc::c_long = 1;
/// `BPF_PROG_LOAD`.
const PROG_LOAD: libc::c_long = 5;
/// `BPF_PROG_TYPE_SCHED_CLS`.
const SCHED_CLS: u32 = 3;

/// One instruction, as it stands in memory.
pub(super) type Instruction = [u8; 8];

/// `union bpf_attr` of `BPF_PROG_LOAD`, its first fields; the kernel takes the others
/// to be zero.
#[repr(C)]
#[derive(Default)]
struct Load {
    kind: u32,
    count: u32,
    instructions: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log: u64,
    kernel_version: u32,
    flags: u32,
}

/// `union bpf_attr` of `BPF_MAP_LOOKUP_ELEM`.
#[repr(C)]
#[derive(Default)]
struct Lookup {
    map: u32,
    zero: u32,
    key: u64,
    value: u64,
    flags: u64,
}

/// Loads a classifier that is never attached.
///
/// # Errors
/// When the kernel refuses it.
pub(super) fn load(program: &[Instruction]) -> io::Result<OwnedFd> {
    let license = c"GPL";
    let attributes = Load {
        kind: SCHED_CLS,
        count: u32::try_from(program.len()).map_err(io::Error::other)?,
        instructions: program.as_ptr() as u64,
        license: license.as_ptr() as u64,
        ..Load::default()
    };
    // SAFETY: what the pointers lead to outlives the call, and is as long as is said.
    let descriptor = unsafe { bpf(PROG_LOAD, &attributes) }?;
    let descriptor = i32::try_from(descriptor).map_err(io::Error::other)?;
    // SAFETY: the kernel has just opened it for us.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

/// Whether an array of programs has one under this index.
///
/// # Errors
/// When it is no such array, or the kernel refuses.
pub(super) fn has_program(array: impl AsFd, index: u32) -> io::Result<bool> {
    let mut id = 0_u32;
    let attributes = Lookup {
        map: u32::try_from(array.as_fd().as_raw_fd()).map_err(io::Error::other)?,
        key: (&raw const index) as u64,
        value: (&raw mut id) as u64,
        ..Lookup::default()
    };
    // SAFETY: such an array has keys and values of 32 bits, and both outlive the call.
    match unsafe { bpf(MAP_LOOKUP, &attributes) } {
        Ok(_) => Ok(true),
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(false),
        Err(error) => Err(error),
    }
}

/// # Safety
/// The attributes are those of the command.
unsafe fn bpf<T>(command: libc::c_long, attributes: &T) -> io::Result<libc::c_long> {
    let attributes = &raw const *attributes;
    // SAFETY: as the caller says; the kernel reads as many bytes as the type has.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, attributes, size_of::<T>()) };
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}
