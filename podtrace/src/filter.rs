//! pcap-filter expressions, tcpdump's language: compiled by libpcap, run here for recordings,
//! translated to eBPF for the kernel side.
mod classic;
mod kernel;
mod libpcap;
mod mistake;
mod protocols;
mod scope;
#[cfg(test)]
mod tests;
mod translate;
mod words;

use std::sync::OnceLock;

pub use classic::Frame;
use classic::Program;
pub use kernel::of_protocols;
pub use mistake::Mistake;
pub use protocols::Protocols;
pub use scope::{Filter, Scope, Seen};
pub use translate::{Beyond, Block, INSTRUCTION, TranslateError, WINDOW};
use words::words;

/// `DLT_EN10MB`, `DLT_RAW`, `DLT_LINUX_SLL` and `DLT_LINUX_SLL2`, pcap/dlt.h.
const ETHERNET: u16 = 1;
const RAW: u16 = 12;
const COOKED: u16 = 113;
const COOKED2: u16 = 276;

/// Longer expressions are refused, in bytes. The time that libpcap takes grows by the square of the
/// length: it is a second for so many bytes of addresses, six for as many of ports, and minutes for
/// four times as many, which are more instructions than a frame is given.
const TEXT_MAX: usize = 8 * 1024;

/// What a frame begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begin {
    /// An Ethernet header.
    Ethernet,
    /// An IP header.
    Ip,
    /// The header of a Linux "cooked" capture, which only files have.
    Cooked,
    /// The same, version 2.
    Cooked2,
}

/// An expression, compiled.
#[derive(Clone, Debug)]
pub struct Expression {
    text: String,
    ethernet: Program,
    /// None if no IP packet without an Ethernet header can match.
    ip: Option<Program>,
    cooked: OfFiles,
    cooked2: OfFiles,
}

/// The program for what only files have, compiled when a packet comes; or what libpcap has
/// against it.
type OfFiles = OnceLock<Result<Program, String>>;

impl Expression {
    /// Compiles an expression. Names of hosts are looked up, as tcpdump does.
    ///
    /// # Errors
    /// When libpcap has something against it, it asks for what a tap does not know, or it is too
    /// long.
    pub fn compile(text: &str) -> Result<Self, Mistake> {
        if text.len() > TEXT_MAX {
            return Err(mistake::of_length(text));
        }
        let program = |link| libpcap::compile(text, link);
        let checked = |program: Vec<_>| {
            Program::new(&program).map_err(|error| mistake::of_program(text, error))
        };
        let ethernet = program(ETHERNET).map_err(|message| mistake::find(text, &message))?;
        let ethernet = checked(ethernet)?;
        let ip = match program(RAW) {
            Ok(program) => Some(checked(program)?),
            Err(message) if mistake::is_of_length(&message) => {
                return Err(mistake::find(text, &message));
            }
            // Whatever is said of link layers only is never true of them.
            Err(_) => None,
        };
        Ok(Self {
            text: text.to_owned(),
            ethernet,
            ip,
            cooked: OfFiles::new(),
            cooked2: OfFiles::new(),
        })
    }

    /// Why no packet could match of those that begin otherwise than those of a tap, as far as
    /// such have come.
    pub fn refusals(&self) -> impl Iterator<Item = &str> {
        let programs = [&self.cooked, &self.cooked2];
        let compiled = programs.into_iter().filter_map(OnceLock::get);
        compiled.filter_map(|program| program.as_ref().err().map(String::as_str))
    }

    /// The expression as it was given.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether a frame matches. A read past its captured bytes is no match of the whole
    /// expression, as in libpcap, also behind `not`.
    #[must_use]
    pub fn matches(&self, begin: Begin, frame: Frame<'_>) -> bool {
        self.program(begin)
            .is_some_and(|program| program.matches(frame))
    }

    /// The expression as a block of eBPF for frames that begin so; none if none of them can
    /// match. See [`translate`] for the registers.
    ///
    /// # Errors
    /// When a kernel cannot run it.
    pub fn translate(&self, begin: Begin, beyond: Beyond) -> Result<Option<Block>, TranslateError> {
        let program = self.program(begin);
        program
            .map(|program| translate::translate(program, beyond))
            .transpose()
    }

    /// The program for frames that begin so.
    fn program(&self, begin: Begin) -> Option<&Program> {
        match begin {
            Begin::Ethernet => Some(&self.ethernet),
            Begin::Ip => self.ip.as_ref(),
            Begin::Cooked => self.of_files(&self.cooked, COOKED),
            Begin::Cooked2 => self.of_files(&self.cooked2, COOKED2),
        }
    }

    fn of_files<'a>(&self, program: &'a OfFiles, link: u16) -> Option<&'a Program> {
        let compile = || {
            let compiled = libpcap::compile(&self.text, link)?;
            Program::new(&compiled)
                .map_err(|error| mistake::of_program(&self.text, error).to_string())
        };
        program.get_or_init(compile).as_ref().ok()
    }
}
