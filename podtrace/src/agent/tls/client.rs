//! A console's side of TLS.
use std::{io, path::Path, sync::Arc};

use jiff::Timestamp;
use rustls::{ClientConfig, pki_types::ServerName, sign::SingleCertAndKey, version::TLS13};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::{
    folder::{Folder, provider},
    server::{H2, keep_alive},
    words::Other,
};
use crate::{
    agent::{AgentError, peer::Connection},
    sink,
    text::system_error::without_numbers,
};

/// Connects to the port of an agent.
///
/// # Errors
/// When it cannot be reached, or either side does not trust the other.
pub(in crate::agent) async fn connect(
    host: &str,
    port: u16,
    folder: &Path,
) -> Result<Box<dyn Connection>, AgentError> {
    let own = Folder::read(folder).map_err(AgentError::Tls)?;
    let wrong = |words: &str| AgentError::Tls(words.to_owned());
    if let Some(why) = own.certificate.invalid_at(Timestamp::now()) {
        return Err(AgentError::Tls(format!(
            "the certificate of this console, {}, {why}\nhint: renew it in the folder of --tls",
            own.certificate.name()
        )));
    }
    if let Some(warning) = own.warning {
        sink::tell(&warning);
    }
    let name = ServerName::try_from(host.to_owned());
    let name = name.map_err(|_error| wrong("no name that a certificate can have"))?;
    let stream = TcpStream::connect((host, port)).await;
    let stream = stream.map_err(|error| AgentError::Connect {
        reason: without_numbers(&error.to_string()),
    })?;
    keep_alive(&stream);
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])
        .map_err(|error| AgentError::Tls(error.to_string()))?
        .with_root_certificates(own.authority)
        .with_client_cert_resolver(Arc::new(SingleCertAndKey::from(own.own)));
    config.alpn_protocols = vec![H2.to_vec()];
    config.resumption = rustls::client::Resumption::disabled();
    let other = Other {
        who: "the agent",
        name: None,
        own: "this console",
        own_name: own.certificate.name(),
        folder,
    };
    let refused = |error| AgentError::Connect {
        reason: other.refused(&error),
    };
    let connected = TlsConnector::from(Arc::new(config)).connect(name, stream);
    let mut stream = connected.await.map_err(refused)?;
    welcome(&mut stream).await.map_err(refused)?;
    Ok(Box::new(stream))
}

/// Waits for the first bytes of the agent: it looks at the certificate of a console once the
/// console takes the connection for agreed on. What it says stays to be read.
async fn welcome(stream: &mut TlsStream<TcpStream>) -> io::Result<()> {
    let (tcp, tls) = stream.get_mut();
    loop {
        let state = tls.process_new_packets().map_err(io::Error::other)?;
        if state.plaintext_bytes_to_read() > 0 {
            return Ok(());
        }
        tcp.readable().await?;
        match tls.read_tls(&mut Ready(tcp)) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
}

/// Reads what is there.
struct Ready<'a>(&'a TcpStream);

impl io::Read for Ready<'_> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.0.try_read(bytes)
    }
}
