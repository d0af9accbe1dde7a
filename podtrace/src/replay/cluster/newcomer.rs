//! Sessions that begin after the others, through a queue.
use super::{Begun, Cluster, Feed, Later};
use crate::{
    model::origin::Origin,
    pipeline::Pipeline,
    replay::{
        merge::{Merge, Stream},
        sampling::limit_claims,
    },
    session::{
        chain::Chain,
        reader::{Ahead, ReaderOptions, Relayed},
    },
    text::sanitize::sanitize,
};

/// A session that has begun later.
pub(crate) struct Newcomer {
    name: String,
    session: Ahead,
    begun: Begun,
}

impl Newcomer {
    /// A session, and what puts it together. `number`: its place among those of all nodes.
    pub(crate) fn relay(
        name: &str,
        (options, later): (ReaderOptions, &Later),
        number: usize,
    ) -> (Relayed, Self) {
        let (watch, begun) = later.watch(number);
        let (relayed, session) = Relayed::new(name, options, watch);
        let newcomer = Self {
            name: name.to_owned(),
            session,
            begun,
        };
        (relayed, newcomer)
    }

    /// Whether anything of it has come that can be read.
    pub(crate) fn has_begun(&mut self) -> bool {
        !self.session.would_wait() && matches!(self.session.peek_section(), Ok(Some(_)))
    }
}

impl Cluster {
    /// Takes in the sessions that have begun since; returns whether there are any.
    pub(in crate::replay) fn take_in(
        &mut self,
        merge: &mut Merge,
        pipeline: &mut Pipeline,
    ) -> bool {
        let before = self.feeds.len();
        while let Some(newcomer) = self.newcomers.as_ref().and_then(|all| all.try_recv().ok()) {
            let Newcomer {
                name,
                session,
                begun,
            } = newcomer;
            let Ok(mut feed) = Feed::relayed(name, session) else {
                continue;
            };
            self.clocks.add(begun);
            let origin = self.introduce(&feed, pipeline);
            if let Some(session) = feed.session.take() {
                let chain = Chain::live(session, ReaderOptions::default());
                merge.add(Stream::new(chain, origin, None));
            }
            self.feeds.push(feed);
            limit_claims(&self.inputs(), self.budget().is_some(), pipeline);
        }
        self.feeds.len() > before
    }

    /// Makes the nodes of a session known; returns their numbers, and its own.
    fn introduce(&self, feed: &Feed, pipeline: &mut Pipeline) -> Origin {
        let before = self.feeds.iter().map(|feed| feed.info.sessions.max(1));
        let session = before.sum();
        let world = pipeline.world_mut();
        let first = world.nodes.len();
        let names = feed.info.nodes.iter().map(|name| sanitize(name).into());
        world.nodes.extend(names);
        let nodes = first..world.nodes.len();
        // They show nothing before they have taps.
        world.silent.extend(nodes.clone());
        Origin { session, nodes }
    }
}
