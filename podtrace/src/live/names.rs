//! The names that a selector asks for: a mistaken one is an error, unless it is waited for.
use anyhow::bail;

use crate::{
    model::snapshot::Snapshot,
    node::{discover::Scan, target::Node},
    select::{Selector, register::Register},
    update::Update,
};

/// Names that nothing has been found to have yet; none once each is there.
pub(super) struct Awaited(Option<Register>);

impl Awaited {
    /// Looks for the names in what is known at the start; returns a notice about those that are
    /// waited for.
    ///
    /// # Errors
    /// When there is nothing of a name, and `waits` is not set.
    pub(super) fn new(
        selector: Option<&Selector>,
        waits: bool,
        nodes: &[Node],
        scan: &Scan,
        first: &[Update],
    ) -> anyhow::Result<(Self, Option<String>)> {
        let Some(selector) = selector else {
            return Ok((Self(None), None));
        };
        let mut register = Register::new(selector);
        nodes
            .iter()
            .for_each(|node| register.learn_node(&node.name));
        register.learn_snapshot(&scan.snapshot);
        first.iter().for_each(|update| register.learn(update));
        let (Some(missing), Some(hint)) = (register.missing(), register.hint()) else {
            return Ok((Self(None), None));
        };
        if !waits {
            let options = register.options();
            bail!("{options}there is no {missing}\nhint: {hint}; --wait waits for it");
        }
        let notice = format!("waiting for {missing}");
        Ok((Self(Some(register)), Some(notice)))
    }

    /// Takes over the names of an update; returns a notice if one was waited for.
    pub(super) fn learn(&mut self, update: &Update) -> Option<String> {
        self.look(|register| register.learn(update))
    }

    /// The same for those of a scan.
    pub(super) fn learn_snapshot(&mut self, snapshot: &Snapshot) -> Option<String> {
        self.look(|register| register.learn_snapshot(snapshot))
    }

    fn look(&mut self, learn: impl FnOnce(&mut Register)) -> Option<String> {
        let register = self.0.as_mut()?;
        let before = register.missing();
        learn(register);
        let after = register.missing();
        if after == before {
            return None;
        }
        Some(match after {
            Some(missing) => format!("still waiting for {missing}"),
            None => {
                self.0 = None;
                format!("{} is there now", before?)
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{model::pod::Pod, select::Term};

    fn pods(name: &str) -> Update {
        Update::Pods {
            runtime: 0,
            pods: vec![Pod {
                namespace: "default".into(),
                name: name.into(),
                ..Pod::default()
            }],
            ts_ns: 0,
        }
    }

    #[test]
    fn name_is_there_or_an_error_or_waited_for() {
        let terms = ["web", "db"].map(|name| (false, Term::Pod(name.parse().unwrap())));
        let selector = Selector::new(terms).unwrap();
        let first = [pods("web2")];
        let start = |waits| Awaited::new(Some(&selector), waits, &[], &Scan::default(), &first);
        let error = start(false).err().unwrap().to_string();
        assert_eq!(
            error,
            "--pod web, --pod db: there is no pod web, pod db\nhint: there is default/web2; --wait waits for it"
        );
        let (mut awaited, notice) = start(true).unwrap();
        assert_eq!(notice.unwrap(), "waiting for pod web, pod db");
        assert_eq!(awaited.learn(&pods("other")), None);
        assert_eq!(
            awaited.learn(&pods("db")).unwrap(),
            "still waiting for pod web"
        );
        assert_eq!(awaited.learn(&pods("web")).unwrap(), "pod web is there now");
        assert_eq!(awaited.learn(&pods("web")), None);
    }
}
