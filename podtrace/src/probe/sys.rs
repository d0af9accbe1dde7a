//! bpf(2) where aya has no call for it (linux/bpf.h).
use std::{
    io,
    os::fd::{AsFd, AsRawFd as _, FromRawFd as _, OwnedFd},
};

/// `BPF_MAP_LOOKUP_ELEM`.
const MAP_LOOKUP: libc::c_long = 1;
/// `BPF_PROG_LOAD`.
const PROG_LOAD: libc::c_long = 5;
/// `BPF_PROG_GET_NEXT_ID`.
const PROG_NEXT: libc::c_long = 11;
/// `BPF_PROG_QUERY`.
const PROG_QUERY: libc::c_long = 16;
/// `BPF_LINK_CREATE`.
const LINK_CREATE: libc::c_long = 28;
/// `BPF_LINK_GET_NEXT_ID`.
const LINK_NEXT: libc::c_long = 31;
/// `BPF_PROG_TYPE_SCHED_CLS`.
const SCHED_CLS: u32 = 3;

/// `BPF_F_BEFORE`: before all others, if no other program is given.
const BEFORE: u32 = 1 << 3;
/// `BPF_MPROG_MAX`: upper bound of an interface's programs in one direction.
const PROGRAMS_MAX: usize = 64;

/// The hooks of TCX programs at an interface.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TcxHook {
    /// `BPF_TCX_INGRESS`.
    Ingress = 46,
    /// `BPF_TCX_EGRESS`.
    Egress = 47,
}

/// Objects that the kernel numbers in order.
#[derive(Clone, Copy, Debug)]
pub(super) enum Numbered {
    Programs,
    Links,
}

/// One instruction, as it stands in memory.
pub(super) type Instruction = [u8; 8];

/// `union bpf_attr` of `BPF_PROG_LOAD`, its first fields; the kernel takes the missing ones as
/// zero.
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

/// `union bpf_attr` of `BPF_LINK_CREATE` for TCX.
#[repr(C)]
#[derive(Default)]
struct LinkCreate {
    program: u32,
    ifindex: u32,
    hook: u32,
    flags: u32,
    relative: u32,
    zero: u32,
    revision: u64,
}

/// `union bpf_attr` of `BPF_PROG_QUERY`.
#[repr(C)]
#[derive(Default)]
struct Query {
    ifindex: u32,
    hook: u32,
    query_flags: u32,
    attach_flags: u32,
    programs: u64,
    count: u32,
    zero: u32,
    program_flags: u64,
    links: u64,
    link_flags: u64,
    revision: u64,
}

/// `union bpf_attr` of the commands that iterate over numbers.
#[repr(C)]
#[derive(Default)]
struct Next {
    start: u32,
    next: u32,
    open_flags: u32,
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
    // SAFETY: what the pointers lead to outlives the call, and is as long as is said; the
    // kernel returns a descriptor.
    unsafe { open(PROG_LOAD, attributes) }
}

/// Attaches a program to an interface of the calling thread's namespace, before all
/// others there. It stays attached as long as the link is open.
///
/// # Errors
/// When there is no such interface, or the kernel refuses.
pub(super) fn attach_first(program: impl AsFd, ifindex: u32, hook: TcxHook) -> io::Result<OwnedFd> {
    let attributes = LinkCreate {
        program: number_of(program)?,
        ifindex,
        hook: hook as u32,
        flags: BEFORE,
        ..LinkCreate::default()
    };
    // SAFETY: the attributes hold no pointer; the kernel returns a descriptor.
    unsafe { open(LINK_CREATE, attributes) }
}

/// The numbers of the programs of an interface of the calling thread's namespace, in the
/// order in which they run.
///
/// # Errors
/// When there is no such interface, or the kernel has no TCX.
pub(super) fn tcx_programs(ifindex: u32, hook: TcxHook) -> io::Result<Vec<u32>> {
    let mut programs = vec![0_u32; PROGRAMS_MAX];
    let mut attributes = Query {
        ifindex,
        hook: hook as u32,
        programs: programs.as_mut_ptr() as u64,
        count: u32::try_from(programs.len()).map_err(io::Error::other)?,
        ..Query::default()
    };
    // SAFETY: the kernel writes as many numbers as there is room for, which outlives the
    // call.
    unsafe { bpf(PROG_QUERY, &mut attributes) }?;
    programs.truncate(attributes.count as usize);
    Ok(programs)
}

/// The highest number assigned so far; the search starts at `known`.
///
/// # Errors
/// When the kernel does not answer.
pub(super) fn newest(what: Numbered, known: u32) -> io::Result<u32> {
    let command = match what {
        Numbered::Programs => PROG_NEXT,
        Numbered::Links => LINK_NEXT,
    };
    let mut newest = known;
    loop {
        let mut attributes = Next {
            start: newest,
            ..Next::default()
        };
        // SAFETY: the attributes hold no pointer.
        match unsafe { bpf(command, &mut attributes) } {
            Ok(_) => newest = attributes.next,
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => return Ok(newest),
            Err(error) => return Err(error),
        }
    }
}

/// Whether an array of programs has a program at this index.
///
/// # Errors
/// When it is no such array, or the kernel refuses.
pub(super) fn has_program(array: impl AsFd, index: u32) -> io::Result<bool> {
    let mut id = 0_u32;
    let mut attributes = Lookup {
        map: number_of(array)?,
        key: (&raw const index) as u64,
        value: (&raw mut id) as u64,
        ..Lookup::default()
    };
    // SAFETY: such an array has keys and values of 32 bits, and both outlive the call.
    match unsafe { bpf(MAP_LOOKUP, &mut attributes) } {
        Ok(_) => Ok(true),
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(false),
        Err(error) => Err(error),
    }
}

/// A descriptor's number, in the form of attributes.
fn number_of(descriptor: impl AsFd) -> io::Result<u32> {
    u32::try_from(descriptor.as_fd().as_raw_fd()).map_err(io::Error::other)
}

/// # Safety
/// The attributes are those of the command, which returns a descriptor.
unsafe fn open<T>(command: libc::c_long, mut attributes: T) -> io::Result<OwnedFd> {
    // SAFETY: as the caller says.
    let descriptor = unsafe { bpf(command, &mut attributes) }?;
    let descriptor = i32::try_from(descriptor).map_err(io::Error::other)?;
    // SAFETY: the kernel has just opened it for us.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

/// # Safety
/// The attributes are those of the command.
unsafe fn bpf<T>(command: libc::c_long, attributes: &mut T) -> io::Result<libc::c_long> {
    let attributes = &raw mut *attributes;
    // SAFETY: as the caller says; the kernel reads and writes no more bytes than the type
    // has.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, attributes, size_of::<T>()) };
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}
