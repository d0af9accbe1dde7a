//! Standard input and output as one connection.
use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, Join, ReadBuf, Stdin, Stdout, join},
    sync::oneshot,
};

/// Standard input and output of this process.
pub(super) struct Stdio {
    ends: Join<Stdin, Stdout>,
    /// Dropped with the connection.
    _over: oneshot::Sender<()>,
}

impl Stdio {
    /// The connection, and what tells its end.
    pub(super) fn open() -> (Self, oneshot::Receiver<()>) {
        let (over, ended) = oneshot::channel();
        let ends = join(tokio::io::stdin(), tokio::io::stdout());
        (Self { ends, _over: over }, ended)
    }
}

impl AsyncRead for Stdio {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.ends).poll_read(context, buffer)
    }
}

impl AsyncWrite for Stdio {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.ends).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.ends).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.ends).poll_shutdown(context)
    }
}
