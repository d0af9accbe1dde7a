//! The conversations, a bounded number of them.
use super::{CONVERSATIONS_MAX, conversation::Conversation};
use crate::{
    map::Map,
    order::Order as _,
    packet::{Ends, Transport},
    path::{
        Path,
        flow::{FlowKey, key, keys},
    },
    world::World,
};

/// When there are too many, this share of them is forgotten at once.
const FORGOTTEN_SHARE: usize = 8;

/// The conversations so far.
#[derive(Default)]
pub(super) struct Table {
    /// The conversation of each key that is known for it.
    index: Map<FlowKey, u64>,
    conversations: Map<u64, Box<Conversation>>,
    next: u64,
    forgotten: u64,
}

impl Table {
    /// Adds a path of an IP packet with these ends.
    pub(super) fn add(&mut self, path: &Path, ends: Ends, world: &World) {
        match path.packet.transport {
            Transport::Icmp { .. } => return self.tell(path, world),
            Transport::Fragment | Transport::Unreadable => return,
            _ => {}
        }
        let number = self.number_of(path, ends);
        if let Some(conversation) = self.conversations.get_mut(&number) {
            conversation.add(path, ends, world);
        }
    }

    /// Takes the message of a router about a packet that is too big.
    fn tell(&mut self, path: &Path, world: &World) {
        let quote = path.payload.as_deref().and_then(|payload| payload.quote());
        let Some((quote, mtu)) = quote.and_then(|quote| Some((quote, quote.error.mtu()?))) else {
            return;
        };
        let number = key(&quote.packet).and_then(|key| self.index.get(&key));
        let number = number.copied().unwrap_or_default();
        if let Some(conversation) = self.conversations.get_mut(&number) {
            conversation.told.add(path, mtu, world);
        }
    }

    /// The number of a path's conversation, which is new if no other path has shown its ends.
    fn number_of(&mut self, path: &Path, ends: Ends) -> u64 {
        let found = keys(path).find_map(|key| self.index.get(&key).copied());
        let known = found.and_then(|number| self.conversations.get(&number));
        let number = match found {
            Some(number) if known.is_some_and(|known| !known.is_other(path, ends)) => number,
            _ => {
                self.next += 1;
                let conversation = Box::new(Conversation::new(path, ends));
                self.conversations.insert(self.next, conversation);
                self.next
            }
        };
        if found == Some(number) && path.translations.is_empty() {
            return number;
        }
        for key in keys(path) {
            let known = self.index.insert(key, number);
            if known != Some(number)
                && let Some(conversation) = self.conversations.get_mut(&number)
            {
                conversation.keys.push(key);
            }
        }
        number
    }

    /// The conversations in the order of their begin.
    pub(super) fn conversations(&self) -> Vec<&Conversation> {
        let mut all: Vec<_> = self.conversations.iter().collect();
        all.order_by_key(|(number, _)| **number);
        all.into_iter().map(|(_, one)| one.as_ref()).collect()
    }

    /// Whether some have to be forgotten.
    pub(super) fn is_full(&self) -> bool {
        self.conversations.len() > CONVERSATIONS_MAX
    }

    /// How many were forgotten.
    pub(super) fn forgotten(&self) -> u64 {
        self.forgotten
    }

    /// Forgets those that were silent for longest, each judged before.
    pub(super) fn forget(&mut self, mut judge: impl FnMut(&Conversation)) {
        let mut ages: Vec<_> = self
            .conversations
            .iter()
            .map(|(number, one)| (one.last_ns, *number))
            .collect();
        let count = CONVERSATIONS_MAX / FORGOTTEN_SHARE;
        let (oldest, ..) = ages.select_nth_unstable(count);
        for (_, number) in oldest {
            let Some(conversation) = self.conversations.remove(number) else {
                continue;
            };
            judge(&conversation);
            for key in &conversation.keys {
                if self.index.get(key) == Some(number) {
                    self.index.remove(key);
                }
            }
            self.forgotten += 1;
        }
    }
}
