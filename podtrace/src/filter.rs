//! pcap-filter expressions, tcpdump's language: compiled by libpcap, run here for recordings,
//! translated to eBPF for the kernel side.
mod classic;
mod kernel;
mod libpcap;
mod mistake;
mod scope;
#[cfg(test)]
mod tests;
mod translate;
mod words;

pub use classic::Frame;
use classic::Program;
pub use kernel::of_protocols;
pub use mistake::Mistake;
pub use scope::{Filter, Scope, Seen};
pub use translate::{Beyond, Block, INSTRUCTION, TranslateError, WINDOW};
use words::words;

/// `DLT_EN10MB` and `DLT_RAW`, pcap/dlt.h.
const ETHERNET: u16 = 1;
const RAW: u16 = 12;

/// What a frame begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begin {
    /// An Ethernet header.
    Ethernet,
    /// An IP header.
    Ip,
}

/// An expression, compiled.
#[derive(Clone, Debug)]
pub struct Expression {
    text: String,
    ethernet: Program,
    /// None if no IP packet without an Ethernet header can match.
    ip: Option<Program>,
}

impl Expression {
    /// Compiles an expression. Names of hosts are looked up, as tcpdump does.
    ///
    /// # Errors
    /// When libpcap has something against it, or it asks for what a tap does not know.
    pub fn compile(text: &str) -> Result<Self, Mistake> {
        let program = |link| libpcap::compile(text, link);
        let ethernet = program(ETHERNET).map_err(|message| mistake::find(text, &message))?;
        let ethernet = Program::new(&ethernet).map_err(|error| mistake::of_program(text, error))?;
        // Whatever is said of link layers only is never true of them.
        let ip = program(RAW).ok();
        Ok(Self {
            text: text.to_owned(),
            ethernet,
            ip: ip.and_then(|program| Program::new(&program).ok()),
        })
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
        }
    }
}
