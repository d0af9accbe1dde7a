//! An agent's side of TLS: a port that anyone may reach.
use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use rustls::{
    DigitallySignedStruct, DistinguishedName, Error, ServerConfig, SignatureScheme,
    client::danger::HandshakeSignatureValid,
    pki_types::{CertificateDer, UnixTime},
    server::{
        NoServerSessionStorage, WebPkiClientVerifier,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
    sign::SingleCertAndKey,
    version::TLS13,
};
use socket2::{SockRef, TcpKeepalive};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::mpsc,
    time::{sleep, timeout},
};
use tokio_rustls::TlsAcceptor;

use super::{
    certificate::Certificate,
    folder::{Folder, provider},
    pending::Pending,
    words::Other,
};
use crate::{
    agent::{
        AgentError,
        journal::Journal,
        peer::{ACCEPT_AGAIN, Link, Seats, Who},
        reread::Reread,
    },
    sink,
};

/// How long a handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// What both sides speak over TLS: HTTP/2.
pub(super) const H2: &[u8] = b"h2";
/// When a side that says nothing is asked for a sign of life, how often, and how many times.
const QUIET: Duration = Duration::from_secs(30);
const AGAIN: Duration = Duration::from_secs(10);
const TIMES: u32 = 3;

/// A port that agents listen at.
pub(in crate::agent) struct Port {
    listener: TcpListener,
    address: SocketAddr,
    keys: Arc<Keys>,
}

/// What a handshake takes.
struct Keys {
    path: PathBuf,
    folder: Reread<Folder>,
}

impl Port {
    /// Listens at `address`, with what is in `folder`.
    ///
    /// # Errors
    /// When the folder cannot be used, or the system refuses.
    pub(in crate::agent) async fn open(address: &str, folder: &Path) -> Result<Self, AgentError> {
        let path = folder.to_owned();
        let read = {
            let path = path.clone();
            move || {
                Folder::read(&path)
                    .inspect(|folder| folder.warning.iter().for_each(|words| sink::tell(words)))
            }
        };
        let folder = Reread::new(Folder::paths(&path), read).map_err(AgentError::Tls)?;
        let failed = |source| AgentError::Listen {
            path: address.into(),
            source,
        };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        Ok(Self {
            address: listener.local_addr().map_err(failed)?,
            listener,
            keys: Arc::new(Keys { path, folder }),
        })
    }

    /// Where it listens.
    pub(in crate::agent) fn address(&self) -> String {
        self.address.to_string()
    }

    /// Accepts connections, and hands on those of consoles with a certificate.
    pub(in crate::agent) async fn accept(
        self,
        journal: Arc<Journal>,
        seats: Arc<Seats>,
        links: mpsc::Sender<Link>,
    ) {
        let mut pending = Pending::default();
        loop {
            let Ok((stream, from)) = self.listener.accept().await else {
                sleep(ACCEPT_AGAIN).await;
                continue;
            };
            if let Some(from) = pending.make_room() {
                journal.refused(&from.to_string(), "too many connections that say nothing");
            }
            let (keys, journal) = (Arc::clone(&self.keys), Arc::clone(&journal));
            let (seats, links) = (Arc::clone(&seats), links.clone());
            let handshake = tokio::spawn(async move {
                let agreed = timeout(HANDSHAKE, keys.agree(stream, from, &journal, &seats)).await;
                let late = || Err(format!("no handshake within {} s", HANDSHAKE.as_secs()));
                match agreed.unwrap_or_else(|_elapsed| late()) {
                    // The agent may be at its end.
                    Ok(link) => drop(links.send(link).await),
                    Err(why) => journal.refused(&from.to_string(), &why),
                }
            });
            pending.push(from.ip(), handshake.abort_handle());
        }
    }
}

impl Keys {
    /// Agrees on TLS; an error is in words.
    async fn agree(
        &self,
        stream: TcpStream,
        from: SocketAddr,
        journal: &Journal,
        seats: &Arc<Seats>,
    ) -> Result<Link, String> {
        keep_alive(&stream);
        let folder = self.folder.current(|read| match read {
            Ok(()) => journal.note("the certificates have changed: the new ones hold"),
            Err(why) => journal.note(&format!(
                "the certificates have changed, and the old ones hold: {why}"
            )),
        });
        let noting = Arc::new(Noting::new(&folder).map_err(|error| error.to_string())?);
        let config = config(&folder, Arc::clone(&noting)).map_err(|error| error.to_string())?;
        let agreed = TlsAcceptor::from(Arc::new(config)).accept(stream).await;
        let certificate = noting.taken();
        let agreed = agreed.map_err(|error| {
            let other = Other {
                who: "the console",
                name: certificate.as_ref().map(Certificate::name),
                own: "this agent",
                own_name: folder.certificate.name(),
                folder: &self.path,
            };
            other.refused(&error)
        })?;
        let names = certificate.map(|certificate| certificate.names);
        let who = Who::Certificate(names.unwrap_or_default().into());
        Link::new(Box::new(agreed), who, from.to_string(), seats)
    }
}

/// A configuration for one connection, whose certificate is noted.
fn config(folder: &Folder, noting: Arc<Noting>) -> Result<ServerConfig, Error> {
    let own = SingleCertAndKey::from(Arc::clone(&folder.own));
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])?
        .with_client_cert_verifier(noting)
        .with_cert_resolver(Arc::new(own));
    config.alpn_protocols = vec![H2.to_vec()];
    // Each connection shows its certificate: one that has expired is of no use any more.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(config)
}

/// Has the other side noticed when it is gone.
pub(super) fn keep_alive(stream: &TcpStream) {
    let keepalive = TcpKeepalive::new().with_time(QUIET).with_interval(AGAIN);
    // Without, it takes longer.
    let _ = SockRef::from(stream).set_tcp_keepalive(&keepalive.with_retries(TIMES));
    let _ = stream.set_nodelay(true);
}

/// Checks the certificate of a console, and notes it: also one that is refused has a name.
#[derive(Debug)]
struct Noting {
    checks: Arc<dyn ClientCertVerifier>,
    seen: Mutex<Option<Certificate>>,
}

impl Noting {
    fn new(folder: &Folder) -> Result<Self, rustls::server::VerifierBuilderError> {
        let authority = Arc::clone(&folder.authority);
        let checks = WebPkiClientVerifier::builder_with_provider(authority, provider());
        Ok(Self {
            checks: checks.build()?,
            seen: Mutex::new(None),
        })
    }

    /// What was noted.
    fn taken(&self) -> Option<Certificate> {
        self.seen
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }
}

impl ClientCertVerifier for Noting {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.checks.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let certificate = Certificate::of(end_entity);
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = Some(certificate);
        self.checks
            .verify_client_cert(end_entity, intermediates, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.checks.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.checks.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.checks.supported_verify_schemes()
    }
}
