//! Where an agent listens.
use std::{
    fs, io,
    os::unix::{fs::FileTypeExt as _, net::UnixStream as Probe},
    path::{Path, PathBuf},
};

use futures_util::stream;
use nix::sys::stat::{Mode, umask};
use tokio::net::UnixListener;
use tonic::transport::Server;

use super::{
    AgentError,
    proto::agent_server::AgentServer,
    server::{ServeOptions, Service},
    stdio::Stdio,
};

/// Where an agent listens.
pub enum Listener {
    /// Standard input and output.
    Stdio,
    /// A Unix socket, which is removed at the end.
    Unix(Socket),
}

/// A Unix socket that its owner alone may connect to.
pub struct Socket {
    path: PathBuf,
    listener: UnixListener,
}

impl Listener {
    /// Listens at a Unix socket. One that nobody listens at any more is replaced.
    ///
    /// # Errors
    /// When another program listens there, or the system refuses.
    pub fn unix(path: &Path) -> Result<Self, AgentError> {
        let failed = |source| AgentError::Listen {
            path: path.to_owned(),
            source,
        };
        let is_socket = fs::symlink_metadata(path).is_ok_and(|file| file.file_type().is_socket());
        if is_socket {
            if Probe::connect(path).is_ok() {
                return Err(failed(io::ErrorKind::AddrInUse.into()));
            }
            fs::remove_file(path).map_err(failed)?;
        }
        // Between binding and a change of its mode others could connect.
        let before = umask(Mode::from_bits_truncate(0o177));
        let listener = UnixListener::bind(path);
        umask(before);
        Ok(Self::Unix(Socket {
            path: path.to_owned(),
            listener: listener.map_err(failed)?,
        }))
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // Somebody may have removed it.
        let _ = fs::remove_file(&self.path);
    }
}

/// Serves until `end`, or until standard input ends.
///
/// # Errors
/// When the connections cannot be served any more.
pub async fn serve(
    listener: Listener,
    options: ServeOptions,
    end: impl Future<Output = ()>,
) -> Result<(), AgentError> {
    let server = Server::builder().add_service(AgentServer::new(Service::new(options)));
    let served = match listener {
        Listener::Stdio => {
            let (stdio, ended) = Stdio::open();
            let incoming = stream::iter([Ok::<_, io::Error>(stdio)]);
            let until = async {
                tokio::select! {
                    _ = ended => {}
                    () = end => {}
                }
            };
            // The connection outlives the listener, which has no other.
            let (served, ()) = tokio::join!(server.serve_with_incoming(incoming), until);
            served
        }
        Listener::Unix(socket) => {
            let incoming = stream::unfold(&socket.listener, |listener| async move {
                let accepted = listener.accept().await.map(|(stream, _)| stream);
                Some((accepted, listener))
            });
            tokio::select! {
                served = server.serve_with_incoming(incoming) => served,
                () = end => Ok(()),
            }
        }
    };
    served.map_err(|error| AgentError::Refused(crate::cause::chain(&error)))
}
