//! Who asks an agent, and over which connection.
use std::{
    collections::HashMap,
    io,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::oneshot,
};
use tonic::transport::server::Connected;

use crate::text::sanitize::sanitize;

/// How many connections one console may have, and all together.
const EACH_MAX: usize = 16;
const ALL_MAX: usize = 256;
/// When it is tried again to accept connections after the system refused.
pub(super) const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Who {
    /// Who has a certificate of these names, which were checked.
    #[cfg_attr(
        not(any(feature = "tls", test)),
        expect(dead_code, reason = "only TLS has certificates")
    )]
    Certificate(Arc<[String]>),
    /// A user of this machine, by number.
    Uid(u32),
    /// Who has started the agent, by name: the user of sudo, of ssh as a rule.
    Login(String),
}

impl Who {
    /// In words, safe to show.
    pub(super) fn in_words(&self) -> String {
        match self {
            Self::Certificate(names) => match names.first() {
                Some(name) => sanitize(name),
                None => "a certificate without a name".to_owned(),
            },
            Self::Uid(uid) => format!("user {uid}"),
            Self::Login(name) => format!("user {}", sanitize(name)),
        }
    }
}

/// Who is at the other end of a connection.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) who: Who,
    /// From where, in words that are safe to show.
    pub(super) from: String,
}

/// What a connection is made of.
pub(super) trait Connection: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Connection for T {}

/// A connection of a console.
pub(super) struct Link {
    ends: Box<dyn Connection>,
    peer: Arc<Peer>,
    /// Left when the connection ends.
    _seat: Seat,
    /// Dropped with it, where its end is to be told.
    over: Option<oneshot::Sender<()>>,
}

impl Link {
    /// # Errors
    /// When there are too many, in words.
    pub(super) fn new(
        ends: Box<dyn Connection>,
        who: Who,
        from: String,
        seats: &Arc<Seats>,
    ) -> Result<Self, String> {
        Ok(Self {
            ends,
            _seat: seats.take(&who)?,
            peer: Arc::new(Peer { who, from }),
            over: None,
        })
    }

    /// What tells its end.
    pub(super) fn tells_end(&mut self) -> oneshot::Receiver<()> {
        let (over, ended) = oneshot::channel();
        self.over = Some(over);
        ended
    }
}

impl Connected for Link {
    type ConnectInfo = Arc<Peer>;

    fn connect_info(&self) -> Arc<Peer> {
        Arc::clone(&self.peer)
    }
}

impl AsyncRead for Link {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.ends).poll_read(context, buffer)
    }
}

impl AsyncWrite for Link {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.ends).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.ends).poll_write_vectored(context, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.ends.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.ends).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.ends).poll_shutdown(context)
    }
}

/// Places for what a console may have some of at a time.
pub(super) struct Seats {
    all_max: usize,
    /// What they are places for, in words.
    what: &'static str,
    taken: Mutex<HashMap<Who, usize>>,
}

/// A place, until it is dropped.
pub(super) struct Seat {
    who: Who,
    seats: Arc<Seats>,
}

impl Seats {
    /// Places for connections.
    pub(super) fn of_connections() -> Self {
        Self::new(ALL_MAX, "connections")
    }

    pub(super) fn new(all_max: usize, what: &'static str) -> Self {
        Self {
            all_max,
            what,
            taken: Mutex::new(HashMap::new()),
        }
    }

    fn take(self: &Arc<Self>, who: &Who) -> Result<Seat, String> {
        self.take_below(who, EACH_MAX)
    }

    /// Takes a place for one who may have so many.
    ///
    /// # Errors
    /// When there is none, in words.
    pub(super) fn take_below(self: &Arc<Self>, who: &Who, each_max: usize) -> Result<Seat, String> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let what = self.what;
        if taken.values().sum::<usize>() >= self.all_max {
            return Err(format!("there are {} {what} already", self.all_max));
        }
        let count = taken.get(who).copied().unwrap_or_default();
        if count >= each_max {
            return Err(format!("{} has {count} {what} already", who.in_words()));
        }
        taken.insert(who.clone(), count + 1);
        Ok(Seat {
            who: who.clone(),
            seats: Arc::clone(self),
        })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let taken = self.seats.taken.lock();
        let mut taken = taken.unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = taken.get_mut(&self.who) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&self.who);
            }
        }
    }
}
