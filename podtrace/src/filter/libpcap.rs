//! Compiles expressions by libpcap, which is linked statically: podtrace is one file that
//! people copy to nodes.
//!
//! The crate `pcap` is not used: its build script links the shared library wherever there is
//! one, and this needs five functions.
use std::{
    ffi::{CStr, CString, c_char, c_int, c_uint, c_void},
    ptr::{NonNull, null_mut},
    slice, thread,
};

use super::classic::Instruction;

/// How many bytes an accepted packet keeps, as tcpdump has it: any but zero.
const SNAPLEN: c_int = 262_144;
/// Expressions of more bytes are not optimised, as that takes time by the square of their
/// length: seconds for some hundred addresses.
const OPTIMISED_MAX: usize = 2048;
/// Bytes of stack for what is longer than that: libpcap calls itself for each branch.
const STACK: usize = 64 << 20;
/// `PCAP_NETMASK_UNKNOWN`: `ip broadcast` needs a mask, and interfaces have several.
const NO_NETMASK: u32 = u32::MAX;

/// `pcap_t`.
enum Handle {}

/// `struct bpf_program`, pcap/bpf.h.
#[repr(C)]
struct Code {
    len: c_uint,
    instructions: *mut Instruction,
}

// The linker finds libpcap.a among the system's libraries, when it links a program.
#[link(name = "pcap", kind = "static", modifiers = "-bundle")]
unsafe extern "C" {
    fn pcap_open_dead(link: c_int, snaplen: c_int) -> *mut Handle;
    fn pcap_compile(
        handle: *mut Handle,
        code: *mut Code,
        text: *const c_char,
        optimize: c_int,
        netmask: u32,
    ) -> c_int;
    fn pcap_geterr(handle: *mut Handle) -> *const c_char;
    fn pcap_freecode(code: *mut Code);
    fn pcap_close(handle: *mut Handle);
}

/// libpcap.a captures from D-Bus and RDMA devices too, by libraries that podtrace has no use
/// for. These stand in for the entries to both, so that the linker takes neither.
mod without {
    use super::{c_char, c_int, c_void, null_mut};

    /// No capture device is ever opened.
    type Create = extern "C" fn(*const c_char, *mut c_char, *mut c_int) -> *mut c_void;
    /// Nor looked for.
    type Find = extern "C" fn(*mut c_void, *mut c_char) -> c_int;

    #[unsafe(no_mangle)]
    extern "C" fn dbus_create(_: *const c_char, _: *mut c_char, ours: *mut c_int) -> *mut c_void {
        not_ours(ours)
    }

    #[unsafe(no_mangle)]
    extern "C" fn dbus_findalldevs(_: *mut c_void, _: *mut c_char) -> c_int {
        0
    }

    #[unsafe(no_mangle)]
    extern "C" fn rdmasniff_create(
        _: *const c_char,
        _: *mut c_char,
        ours: *mut c_int,
    ) -> *mut c_void {
        not_ours(ours)
    }

    #[unsafe(no_mangle)]
    extern "C" fn rdmasniff_findalldevs(_: *mut c_void, _: *mut c_char) -> c_int {
        0
    }

    fn not_ours(ours: *mut c_int) -> *mut c_void {
        // SAFETY: libpcap passes a variable, which it reads if this returns nothing.
        unsafe { ours.write(0) };
        null_mut()
    }

    /// Keeps them where the linker looks before it looks into libpcap.a.
    #[used]
    static ALL: ([Create; 2], [Find; 2]) = (
        [dbus_create, rdmasniff_create],
        [dbus_findalldevs, rdmasniff_findalldevs],
    );
}

/// A handle without a device.
struct Dead(NonNull<Handle>);

impl Drop for Dead {
    fn drop(&mut self) {
        // SAFETY: it is open, and closed once.
        unsafe { pcap_close(self.0.as_ptr()) };
    }
}

/// Compiles an expression for packets of a link layer, by its `DLT_` number.
///
/// # Errors
/// What libpcap says against it.
pub(super) fn compile(text: &str, link: u16) -> Result<Vec<Instruction>, String> {
    let text = CString::new(text).map_err(|error| {
        let at = error.nul_position();
        format!("there is a zero byte behind {at} bytes")
    })?;
    if text.as_bytes().len() <= OPTIMISED_MAX {
        return compile_here(&text, link, true);
    }
    thread::scope(|scope| {
        let thread = thread::Builder::new().stack_size(STACK);
        let compiled = thread.spawn_scoped(scope, || compile_here(&text, link, false));
        let compiled = compiled.map_err(|error| format!("no thread to compile it: {error}"))?;
        let died = |_| Err("libpcap's thread died".to_owned());
        compiled.join().unwrap_or_else(died)
    })
}

fn compile_here(text: &CStr, link: u16, optimises: bool) -> Result<Vec<Instruction>, String> {
    // SAFETY: takes numbers, returns an open handle or nothing.
    let handle = unsafe { pcap_open_dead(c_int::from(link), SNAPLEN) };
    let handle = Dead(NonNull::new(handle).ok_or("libpcap has no memory")?);
    let mut code = Code {
        len: 0,
        instructions: null_mut(),
    };
    // SAFETY: the handle is open, the text ends with a zero byte, and libpcap writes the code
    // only if it returns zero. It keeps no state beside the handle (since 1.8).
    unsafe {
        if pcap_compile(
            handle.0.as_ptr(),
            &mut code,
            text.as_ptr(),
            c_int::from(optimises),
            NO_NETMASK,
        ) != 0
        {
            let message = CStr::from_ptr(pcap_geterr(handle.0.as_ptr()));
            return Err(message.to_string_lossy().into_owned());
        }
        let compiled = match code.len {
            0 => Vec::new(),
            len => slice::from_raw_parts(code.instructions, len as usize).to_vec(),
        };
        pcap_freecode(&mut code);
        Ok(compiled)
    }
}

/// Runs a program by libpcap's own interpreter; returns what its `ret` does.
#[cfg(test)]
pub(super) fn interpret(program: &[Instruction], bytes: &[u8], wire_len: u32) -> u32 {
    unsafe extern "C" {
        fn bpf_filter(
            program: *const Instruction,
            bytes: *const u8,
            wire_len: c_uint,
            captured: c_uint,
        ) -> c_uint;
    }
    let captured = c_uint::try_from(bytes.len()).unwrap();
    // SAFETY: libpcap made the program, and reads only the captured bytes.
    unsafe { bpf_filter(program.as_ptr(), bytes.as_ptr(), wire_len, captured) }
}
