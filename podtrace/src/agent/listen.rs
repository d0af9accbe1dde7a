//! Where an agent listens.
use std::{
    env, fs,
    future::pending,
    io,
    os::unix::{fs::FileTypeExt as _, net::UnixStream as Probe},
    path::{Path, PathBuf},
    sync::Arc,
};

use futures_util::stream;
use nix::{
    sys::stat::{Mode, umask},
    unistd::{Uid, User},
};
use tokio::{
    io::{join, stdin, stdout},
    net::UnixListener,
    sync::mpsc,
    task::JoinSet,
    time::sleep,
};
use tonic::transport::Server;

use super::{
    AgentError,
    journal::Journal,
    peer::{ACCEPT_AGAIN, Link, Seats, Who},
    proto::agent_server::AgentServer,
    server::{ServeOptions, Service},
    tls::Port,
};
use crate::text::escape::shown;

/// Upper bound of the path of a socket in bytes (`sun_path`, with the NUL that ends it).
const PATH_MAX: usize = 107;
/// Upper bound of a request.
const REQUEST_MAX: usize = 256 << 10;
/// Upper bounds of what a console sends before it asks for something.
const HEADERS_MAX: u32 = 16 << 10;
const STREAMS_MAX: u32 = 16;

/// Where an agent listens.
pub enum Listener {
    /// Standard input and output.
    Stdio,
    /// A Unix socket, which is removed at the end.
    Unix(Socket),
    /// A port, with TLS.
    Tls(Door),
}

/// A port where both sides show certificates.
pub struct Door(Port);

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
        let taken = |why: &str| failed(io::Error::new(io::ErrorKind::AddrInUse, why));
        match fs::symlink_metadata(path) {
            Ok(file) if !file.file_type().is_socket() => {
                return Err(taken("something else has this name: choose another"));
            }
            Ok(_) if Probe::connect(path).is_ok() => {
                return Err(taken("another agent listens there"));
            }
            Ok(_) => fs::remove_file(path).map_err(failed)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed(error)),
        }
        if path.as_os_str().len() > PATH_MAX {
            let why = format!("the path of a socket has at most {PATH_MAX} bytes");
            return Err(failed(io::Error::new(io::ErrorKind::InvalidFilename, why)));
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

    /// Listens at a port, with what TLS takes from a folder.
    ///
    /// # Errors
    /// When the folder cannot be used, or the system refuses.
    pub async fn tls(address: &str, folder: &Path) -> Result<Self, AgentError> {
        Port::open(address, folder)
            .await
            .map(|port| Self::Tls(Door(port)))
    }

    /// Where it listens, safe to show.
    #[must_use]
    pub fn place(&self) -> String {
        match self {
            Self::Stdio => "standard input".to_owned(),
            Self::Unix(socket) => shown(&socket.path),
            Self::Tls(Door(port)) => format!("tcp://{}", port.address()),
        }
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
/// When the file of rights cannot be used, or connections cannot be served any more.
pub async fn serve(
    listeners: Vec<Listener>,
    options: ServeOptions,
    end: impl Future<Output = ()>,
) -> Result<(), AgentError> {
    let journal = Arc::new(Journal::new(options.tells));
    let service = Service::new(options, Arc::clone(&journal))?;
    let service = AgentServer::new(service).max_decoding_message_size(REQUEST_MAX);
    let server = Server::builder()
        .max_concurrent_streams(STREAMS_MAX)
        .http2_max_header_list_size(HEADERS_MAX)
        .add_service(service);
    let seats = Arc::new(Seats::of_connections());
    let (links, incoming) = mpsc::channel::<Link>(1);
    // Dropped, and so aborted, at the end.
    let mut accepting = JoinSet::new();
    let mut over = None;
    for listener in listeners {
        journal.note(&format!("listening at {}", listener.place()));
        let (journal, seats) = (Arc::clone(&journal), Arc::clone(&seats));
        match listener {
            Listener::Stdio => {
                let ends = join(stdin(), stdout());
                let (who, from) = (started_by(), "standard input".to_owned());
                let link = Link::new(Box::new(ends), who, from, &seats);
                // There is one.
                let mut link = link.map_err(AgentError::Refused)?;
                over = Some(link.tells_end());
                let _ = links.send(link).await;
            }
            Listener::Unix(socket) => {
                accepting.spawn(socket.accept(journal, seats, links.clone()));
            }
            Listener::Tls(Door(port)) => {
                accepting.spawn(port.accept(journal, seats, links.clone()));
            }
        }
    }
    let incoming = stream::unfold(incoming, |mut incoming| async {
        let link = incoming.recv().await?;
        Some((Ok::<_, io::Error>(link), incoming))
    });
    let ended = async {
        match over {
            Some(over) => drop(over.await),
            None => pending().await,
        }
    };
    let served = tokio::select! {
        served = server.serve_with_incoming(incoming) => served,
        () = ended => Ok(()),
        () = end => Ok(()),
    };
    // Until here: without senders, serving would end.
    drop(links);
    served.map_err(|error| AgentError::Refused(crate::cause::chain(&error)))
}

impl Socket {
    /// Accepts connections.
    async fn accept(self, journal: Arc<Journal>, seats: Arc<Seats>, links: mpsc::Sender<Link>) {
        loop {
            let Ok((stream, _)) = self.listener.accept().await else {
                sleep(ACCEPT_AGAIN).await;
                continue;
            };
            // It has left by then if it is not known.
            let Ok(cred) = stream.peer_cred() else {
                continue;
            };
            let from = match cred.pid() {
                Some(pid) => format!("process {pid}"),
                None => "this machine".to_owned(),
            };
            let who = Who::Uid(cred.uid());
            match Link::new(Box::new(stream), who.clone(), from.clone(), &seats) {
                Ok(link) => drop(links.send(link).await),
                Err(why) => journal.refused(&format!("{} from {from}", who.in_words()), &why),
            }
        }
    }
}

/// Who has started this process: the user of sudo, or else its own.
fn started_by() -> Who {
    let user = Uid::current();
    let sudo = env::var("SUDO_USER").ok().filter(|_| user.is_root());
    let own = || User::from_uid(user).ok().flatten().map(|user| user.name);
    Who::Login(sudo.or_else(own).unwrap_or_else(|| user.to_string()))
}
