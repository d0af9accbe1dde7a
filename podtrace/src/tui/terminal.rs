//! The terminal: taken over, and given back however podtrace ends.
use std::{
    io::{self, BufWriter, Stdout, Write as _},
    mem::ManuallyDrop,
    os::fd::{AsFd as _, BorrowedFd},
    panic,
    sync::{
        Once,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use nix::{
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::signal::{Signal, raise},
};
use ratatui::{
    Terminal,
    backend::CrosstermBackend,
    crossterm::{
        cursor::Show,
        execute,
        style::force_color_output,
        terminal::{EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode},
    },
};

/// Whether the terminal is taken over.
static IS_TAKEN: AtomicBool = AtomicBool::new(false);

/// What is drawn on. Dropped, it would show the cursor, as [`leave`] does, and complain where the
/// terminal is closed.
pub(super) type Screen = ManuallyDrop<Terminal<CrosstermBackend<BufWriter<Stdout>>>>;

/// Takes the terminal over.
pub(super) fn enter(color: bool) -> io::Result<Screen> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            leave();
            before(info);
        }));
    });
    force_color_output(color);
    take()?;
    let screen = Terminal::new(CrosstermBackend::new(BufWriter::new(io::stdout())))?;
    Ok(ManuallyDrop::new(screen))
}

fn take() -> io::Result<()> {
    IS_TAKEN.store(true, Ordering::SeqCst);
    enable_raw_mode()?;
    execute!(io::stdout(), EnterAlternateScreen)
}

/// Whether it is taken over: a panic anywhere gives it back.
pub(super) fn is_taken() -> bool {
    IS_TAKEN.load(Ordering::SeqCst)
}

/// Waits for a key, or until the terminal is closed, for so long at most.
pub(super) fn wait(limit: Duration) {
    let stdin = io::stdin();
    let mut fds = [PollFd::new(stdin.as_fd(), PollFlags::POLLIN)];
    // A signal ends it early, as one of a new size does.
    let _ = poll(
        &mut fds,
        PollTimeout::try_from(limit).unwrap_or(PollTimeout::ZERO),
    );
}

/// Whether the terminal was closed: there will be no key any more, and nobody sees what is drawn.
pub(super) fn is_closed() -> bool {
    has_hung_up(io::stdin().as_fd())
}

/// That a terminal is closed is told without being asked for.
fn has_hung_up(terminal: BorrowedFd<'_>) -> bool {
    let mut fds = [PollFd::new(terminal, PollFlags::empty())];
    let found = poll(&mut fds, PollTimeout::ZERO);
    found.is_ok_and(|found| found > 0)
}

/// Gives the terminal back; does nothing if it was given back already.
pub(crate) fn leave() {
    if !IS_TAKEN.swap(false, Ordering::SeqCst) {
        return;
    }
    // A closed terminal needs nothing.
    let _ = execute!(io::stdout(), LeaveAlternateScreen, Show);
    let _ = disable_raw_mode();
    let _ = io::stdout().flush();
}

/// Stops the process as Ctrl-Z does elsewhere, until the shell continues it.
pub(super) fn suspend(screen: &mut Screen) -> io::Result<()> {
    leave();
    raise(Signal::SIGTSTP)?;
    take()?;
    // Clears it too, and does not ask the terminal where the cursor is.
    let area = screen.get_frame().area();
    screen.resize(area)
}

#[cfg(test)]
mod tests {
    use std::{
        env,
        fs::File,
        io::Read as _,
        process::{Command, Stdio},
        thread,
    };

    use nix::{
        pty::{Winsize, openpty},
        sys::termios::tcgetattr,
    };

    use super::*;

    const SIZE: Winsize = Winsize {
        ws_row: 24,
        ws_col: 80,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    /// Set where [`thread_panics`] has a terminal to take.
    const VARIABLE: &str = "PODTRACE_TEST_TERMINAL";

    /// The other half of the test below, which runs it in a process of its own.
    #[test]
    fn thread_panics() {
        if env::var_os(VARIABLE).is_some() {
            let panicking = thread::spawn(|| {
                let _screen = enter(false).unwrap();
                panic!("on purpose");
            });
            assert!(panicking.join().is_err());
            assert!(!is_taken());
        }
    }

    /// Not every hangup comes as a signal: with nohup none does.
    #[test]
    fn closed_terminal_is_noticed() {
        let pty = openpty(Some(&SIZE), None).unwrap();
        assert!(!has_hung_up(pty.slave.as_fd()));
        (&File::from(pty.master.try_clone().unwrap()))
            .write_all(b"q\n")
            .unwrap();
        assert!(!has_hung_up(pty.slave.as_fd()));
        drop(pty.master);
        assert!(has_hung_up(pty.slave.as_fd()));
    }

    #[test]
    fn panic_gives_the_terminal_back_before_it_is_told() {
        let pty = openpty(Some(&SIZE), None).unwrap();
        let before = tcgetattr(&pty.slave).unwrap();
        let slave = || Stdio::from(pty.slave.try_clone().unwrap());
        let ended = Command::new("setsid")
            .args(["--ctty", "--wait"])
            .arg(env::current_exe().unwrap())
            .args([
                "--nocapture",
                "--exact",
                "tui::terminal::tests::thread_panics",
            ])
            .env(VARIABLE, "1")
            .env("RUST_BACKTRACE", "0")
            .stdin(slave())
            .stdout(slave())
            .stderr(slave())
            .status()
            .unwrap();
        assert!(ended.success());
        assert_eq!(tcgetattr(&pty.slave).unwrap(), before);
        drop(pty.slave);
        let mut shown = Vec::new();
        // Its end is an error: nobody has it open any more.
        let _ = File::from(pty.master).read_to_end(&mut shown);
        let shown = String::from_utf8_lossy(&shown);
        let at = |words| shown.find(words).unwrap_or_else(|| panic!("{shown:?}"));
        let (taken, given_back) = (at("\u{1b}[?1049h"), at("\u{1b}[?1049l"));
        assert!(
            taken < given_back && given_back < at("on purpose"),
            "{shown:?}"
        );
    }
}
