//! Datagrams that their socket has no room for.
use super::{
    Finding, Kind,
    conversation::Conversation,
    judge::Judge,
    side::{Of, Side},
    unread::Unread,
};
use crate::text::count::counted;

/// So many may find no room by chance.
const CHANCE: u64 = 2;

impl Judge<'_> {
    /// Datagrams of a direction come faster than the program reads them.
    pub(super) fn receive_buffer(&self, talk: &Conversation, of: Of) -> Option<Finding> {
        let side: &Side = talk.side(of);
        let Unread { told, untold } = side.unread;
        let lost = side.lost.as_deref()?;
        if told == 0 || told.max(self.unread(talk, of)) <= CHANCE {
            return None;
        }
        let (from, to) = (talk.sender(of), talk.receiver(of));
        let sentence = format!(
            "receive buffer full: {to} reads more slowly than {from} sends, and its kernel drops \
             what its socket has no room for"
        );
        let packets = counted(side.packets(), "packet");
        let mut evidence = vec![format!(
            "{told} of {packets} dropped so, as the kernel tells"
        )];
        if untold > 0 {
            evidence.push(format!(
                "whether {untold} more arrived is not known: the kernel dropped more than it tells of"
            ));
        }
        evidence.extend(lost.evidence());
        Some(Finding {
            evidence,
            packets: told + untold,
            ..talk
                .finding(Kind::ReceiveBufferFull, of, sentence)
                .because(Some(lost))
        })
    }
}
