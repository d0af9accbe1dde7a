//! Which consoles may ask for what.
mod file;

use std::{path::Path, sync::Arc, time::Duration};

use super::{AgentError, Request, journal::Journal, peer::Who, reread::Reread};
use crate::text::glob::Glob;

/// Who may ask, and for what.
pub(super) struct Consoles {
    /// The tables of a file, if there is one.
    file: Option<Reread<Vec<Rule>>>,
    /// Without: what those of this machine may have beyond headers.
    local: Local,
}

/// What an agent allows consoles of its own machine.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Local {
    /// What packets carry.
    pub(super) payload: bool,
    /// That it sends packets.
    pub(super) probe: bool,
}

/// A table of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Rule {
    whom: Whom,
    /// None where all is refused.
    rights: Option<Rights>,
}

/// Whom a table is about.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Whom {
    /// Certificates with a name that fits one of these.
    Names(Vec<Glob>),
    /// Users of this machine who connect to a Unix socket.
    Uids(Vec<u32>),
    /// Users who run the agent by ssh or kubectl exec.
    Logins(Vec<Glob>),
}

/// What a console may ask for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Rights {
    /// What TCP and UDP packets carry, not only their headers.
    pub(super) payload: bool,
    /// That the agent sends packets for it.
    pub(super) probe: bool,
    /// How many traces at a time; none for as many as the agent runs.
    pub(super) traces_max: Option<usize>,
    /// How long one may last.
    pub(super) duration_max: Option<Duration>,
    /// What a packet has to match, too.
    pub(super) expression: Option<String>,
}

impl Consoles {
    /// Reads the file, if there is one.
    ///
    /// # Errors
    /// When it cannot be used: which line is wrong, and why.
    pub(super) fn new(path: Option<&Path>, local: Local) -> Result<Self, AgentError> {
        let open = |path: &Path| {
            let from = path.to_owned();
            Reread::new(vec![path.to_owned()], move || file::read(&from))
        };
        let file = path.map(open).transpose().map_err(AgentError::Consoles)?;
        Ok(Self { file, local })
    }

    /// What one may ask for; none if nothing.
    pub(super) fn rights(&self, who: &Who, journal: &Journal) -> Option<Rights> {
        let Some(file) = &self.file else {
            // Whoever reaches this machine's socket, or runs the agent, is its administrator.
            let is_local = !matches!(who, Who::Certificate(_));
            return Some(Rights {
                payload: self.local.payload && is_local,
                probe: self.local.probe && is_local,
                ..Rights::default()
            });
        };
        let rules: Arc<Vec<Rule>> = file.current(|read| match read {
            Ok(()) => journal.note("the rights of consoles have changed"),
            Err(why) => journal.note(&format!(
                "the rights of consoles have changed, and the old ones hold: {why}"
            )),
        });
        let rule = rules.iter().find(|rule| rule.whom.is(who));
        rule.and_then(|rule| rule.rights.clone())
    }
}

impl Whom {
    fn is(&self, who: &Who) -> bool {
        match (self, who) {
            (Self::Names(patterns), Who::Certificate(names)) => patterns
                .iter()
                .any(|pattern| names.iter().any(|name| pattern.matches(name))),
            (Self::Uids(uids), Who::Uid(uid)) => uids.contains(uid),
            (Self::Logins(patterns), Who::Login(name)) => {
                patterns.iter().any(|pattern| pattern.matches(name))
            }
            _ => false,
        }
    }
}

impl Rights {
    /// Bounds a request; returns what was changed, in words for the console. `max_rate`: of all
    /// consoles.
    pub(super) fn bound(&self, request: &mut Request, max_rate: Option<u64>) -> Vec<String> {
        let mut words = Vec::new();
        if let Some(max) = self.duration_max
            && request.duration.is_none_or(|asked| asked > max)
        {
            request.duration = Some(max);
            words.push(format!(
                "the trace ends there after {} s",
                max.as_secs_f64()
            ));
        }
        if let Some(expression) = &self.expression {
            // Before what was asked for: a word like vlan changes what those behind it look at.
            request.expression = match request.expression.as_str() {
                "" => expression.clone(),
                asked => format!("({expression}) and ({asked})"),
            };
            words.push(format!(
                "packets are shown from there that match {expression}"
            ));
        }
        if let Some(max) = max_rate
            && request.max_rate.is_none_or(|asked| asked > max)
        {
            request.max_rate = Some(max);
            words.push(format!(
                "it samples there beyond {max} events a second, by its own --max-rate"
            ));
        }
        words
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_file_certificates_get_headers() {
        let journal = Journal::new(false);
        let certificate = Who::Certificate(Arc::new(["a".to_owned()]));
        for is_given in [false, true] {
            let local = Local {
                payload: is_given,
                probe: is_given,
            };
            let consoles = Consoles::new(None, local).unwrap();
            let more = |who: &Who| {
                let rights = consoles.rights(who, &journal).unwrap();
                [rights.payload, rights.probe]
            };
            assert_eq!(more(&certificate), [false; 2]);
            assert_eq!(more(&Who::Uid(0)), [is_given; 2]);
            assert_eq!(more(&Who::Login("root".to_owned())), [is_given; 2]);
        }
    }

    #[test]
    fn requests_are_bounded_and_it_is_said() {
        let rights = Rights {
            duration_max: Some(Duration::from_secs(60)),
            expression: Some("net 10.0.0.0/8".to_owned()),
            ..Rights::default()
        };
        let mut request = Request::default();
        assert_eq!(rights.bound(&mut request, Some(1000)).len(), 3);
        assert_eq!(request.duration, rights.duration_max);
        assert_eq!(request.expression, "net 10.0.0.0/8");
        assert_eq!(request.max_rate, Some(1000));
        let mut less = Request {
            duration: Some(Duration::from_secs(5)),
            max_rate: Some(10),
            expression: "vlan or tcp".to_owned(),
            ..Request::default()
        };
        assert_eq!(rights.bound(&mut less, Some(1000)).len(), 1);
        assert_eq!(less.duration, Some(Duration::from_secs(5)));
        assert_eq!(less.max_rate, Some(10));
        // The bound looks at packets as they are, whatever was asked for.
        assert_eq!(less.expression, "(net 10.0.0.0/8) and (vlan or tcp)");
        let mut free = Request::default();
        assert_eq!(Rights::default().bound(&mut free, None), [""; 0]);
        assert_eq!(free, Request::default());
    }
}
