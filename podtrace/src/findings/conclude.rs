//! What a conversation shows.
use super::{
    Finding,
    conversation::Conversation,
    direction::{datagrams_refused, dead, lossy},
    handshake::aborted,
    judge::Judge,
    mtu::black_hole,
    side::Of,
};

impl Judge<'_> {
    /// What a conversation shows; what explains others stands for them.
    pub(super) fn judge(&self, talk: &Conversation) -> Vec<Finding> {
        let holes = [Of::Client, Of::Server].map(|of| black_hole(talk, of));
        let holes: Vec<_> = holes.into_iter().flatten().collect();
        if !holes.is_empty() {
            return holes;
        }
        let one = talk
            .one_way_nat()
            .or_else(|| self.opening(talk))
            .or_else(|| aborted(talk))
            .or_else(|| datagrams_refused(talk))
            .or_else(|| self.receive_buffer(talk, Of::Client))
            .or_else(|| self.receive_buffer(talk, Of::Server));
        if let Some(one) = one {
            return vec![one];
        }
        let queries = self.queries(talk);
        if !queries.is_empty() {
            return queries;
        }
        let one = dead(talk)
            .or_else(|| lossy(talk, Of::Client))
            .or_else(|| lossy(talk, Of::Server))
            .or_else(|| self.one_way(talk));
        one.into_iter().collect()
    }
}
