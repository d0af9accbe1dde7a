//! The podtrace command.
use std::process::ExitCode;

fn main() -> ExitCode {
    #[cfg(panic = "abort")]
    end_on_panic();
    #[cfg(all(target_env = "gnu", target_feature = "crt-static"))]
    look_up_without_modules();
    podtrace::command::run(podtrace::cli::parse())
}

/// Makes libc look names of expressions and servers up in files and DNS alone. For whatever else
/// the node's nsswitch.conf names (`db`, `resolve`, `mymachines`), a libc that is linked statically
/// would load the node's modules, which need the node's own libc.
#[cfg(all(target_env = "gnu", target_feature = "crt-static"))]
fn look_up_without_modules() {
    use std::ffi::{CStr, c_char, c_int};

    unsafe extern "C" {
        /// nss.h
        fn __nss_configure_lookup(database: *const c_char, services: *const c_char) -> c_int;
    }

    const DATABASES: [(&CStr, &CStr); 5] = [
        (c"ethers", c"files"),
        (c"hosts", c"files dns"),
        (c"networks", c"files dns"),
        (c"protocols", c"files"),
        (c"services", c"files"),
    ];
    for (database, services) in DATABASES {
        // SAFETY: both end in a null byte, and are there for as long as the process. No other
        // thread has been started that could look something up.
        let _ = unsafe { __nss_configure_lookup(database.as_ptr(), services.as_ptr()) };
    }
}

/// Makes a panic, once it is told, end the process with the exit status that it has where the stack
/// is unwound. Aborting could leave a core dump, with packets and credentials in it.
#[cfg(panic = "abort")]
fn end_on_panic() {
    use std::panic;

    /// The standard library's status after a panic of the main thread.
    const STATUS: libc::c_int = 101;

    let tell = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        tell(info);
        // SAFETY: ends the process at once; it waits for no other thread, and runs nothing.
        unsafe { libc::_exit(STATUS) };
    }));
}
