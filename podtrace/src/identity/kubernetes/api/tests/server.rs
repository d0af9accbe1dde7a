//! An API server that the test controls: each request waits until the test answers it.
use std::{
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
    sync::mpsc,
    task::JoinHandle,
    time::timeout,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use super::super::{
    config::{ClusterConfig, ClusterSource},
    crypto::install_crypto,
};

/// Upper bound of each wait of a test.
pub(super) const DEADLINE: Duration = Duration::from_secs(20);

/// The token that the server asks for.
pub(super) const TOKEN: &str = "s3cr3t";

/// A certificate authority, and a server certificate that it signed.
pub(super) struct Authority {
    ca_pem: String,
    acceptor: TlsAcceptor,
}

/// A server on 127.0.0.1.
pub(super) struct Server {
    pub(super) pods: Requests,
    pub(super) nodes: Requests,
    pub(super) services: Requests,
    pub(super) slices: Requests,
    pub(super) address: SocketAddr,
    accepting: JoinHandle<()>,
}

/// Requests for one resource, in the order they came.
pub(super) struct Requests(mpsc::Receiver<Request>);

/// A request that waits for an answer; dropping it closes the connection.
pub(super) struct Request {
    target: String,
    stream: TlsStream<TcpStream>,
}

/// A watch that is open; dropping it cuts the connection.
pub(super) struct Watch(TlsStream<TcpStream>);

impl Authority {
    pub(super) fn new() -> Self {
        install_crypto();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let ca_pem = params.self_signed(&key).unwrap().pem();
        let issuer = Issuer::new(params, key);

        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &issuer).unwrap();
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let config = rustls::ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        Self { ca_pem, acceptor }
    }

    /// The configuration for a server at an address, read from a kubeconfig; `user` is its
    /// entry of the user, as YAML in one line.
    pub(super) fn config(&self, address: SocketAddr, user: &str) -> ClusterConfig {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| -> PathBuf { dir.path().join(name) };
        std::fs::write(path("ca.pem"), &self.ca_pem).unwrap();
        let text = format!(
            "apiVersion: v1
kind: Config
current-context: lab
contexts: [{{name: lab, context: {{cluster: lab, user: lab}}}}]
clusters: [{{name: lab, cluster: {{server: 'https://{address}', certificate-authority: ca.pem}}}}]
users: [{{name: lab, user: {user}}}]
"
        );
        std::fs::write(path("config"), text).unwrap();
        let found = ClusterSource::find(Some(&path("config"))).unwrap();
        found.unwrap()
    }

    /// Starts a server.
    pub(super) fn serve(&self) -> Server {
        self.serve_at(bound())
    }

    /// Starts a server on a bound socket.
    pub(super) fn serve_at(&self, socket: TcpSocket) -> Server {
        let address = socket.local_addr().unwrap();
        let listener = socket.listen(16).unwrap();
        let (pods, pod_requests) = mpsc::channel(16);
        let (nodes, node_requests) = mpsc::channel(16);
        let (services, service_requests) = mpsc::channel(16);
        let (slices, slice_requests) = mpsc::channel(16);
        let queues = [
            ("/api/v1/pods?", pods),
            ("/api/v1/nodes?", nodes),
            ("/api/v1/services?", services),
            ("/apis/discovery.k8s.io/v1/endpointslices?", slices),
        ];
        let acceptor = self.acceptor.clone();
        let accepting = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (acceptor, queues) = (acceptor.clone(), queues.clone());
                tokio::spawn(async move {
                    // A client that does not trust the server disconnects here.
                    let Ok(stream) = acceptor.accept(stream).await else {
                        return;
                    };
                    if let Some(request) = Request::read(stream).await {
                        let mut queues = queues.into_iter();
                        let queue = queues.find(|(path, _)| request.target.starts_with(path));
                        let (_, queue) = queue.expect("another resource");
                        // The test may be over.
                        let _ = queue.send(request).await;
                    }
                });
            }
        });
        Server {
            pods: Requests(pod_requests),
            nodes: Requests(node_requests),
            services: Requests(service_requests),
            slices: Requests(slice_requests),
            address,
            accepting,
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Requests {
    /// The next request.
    pub(super) async fn next(&mut self) -> Request {
        let request = timeout(DEADLINE, self.0.recv()).await;
        request.expect("no request in time").unwrap()
    }

    /// The next request, which is for a list.
    pub(super) async fn list(&mut self) -> Request {
        let request = self.next().await;
        assert_eq!(request.query("watch"), None, "{}", request.target);
        request
    }

    /// The next request, which is for a watch from a version.
    pub(super) async fn watch(&mut self, version: &str) -> Request {
        let request = self.next().await;
        assert_eq!(request.query("watch"), Some("true"), "{}", request.target);
        assert_eq!(request.query("resourceVersion"), Some(version));
        assert_eq!(request.query("allowWatchBookmarks"), Some("true"));
        request
    }
}

impl Request {
    /// Reads a request; answers it if the token is not the right one.
    async fn read(mut stream: TlsStream<TcpStream>) -> Option<Self> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.ok()?);
        }
        let head = String::from_utf8(head).unwrap();
        let mut words = head.split(' ');
        assert_eq!(words.next(), Some("GET"));
        let target = words.next().unwrap().to_owned();
        let request = Self { target, stream };
        let wanted = format!("authorization: bearer {TOKEN}\r\n");
        if head.to_lowercase().contains(&wanted) {
            return Some(request);
        }
        request.refuse(401, "Unauthorized").await;
        None
    }

    pub(super) fn query(&self, name: &str) -> Option<&str> {
        let (_, query) = self.target.split_once('?')?;
        let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        pairs.find(|(key, _)| *key == name).map(|(_, value)| value)
    }

    /// Answers with a list, complete unless there is a token for the rest.
    pub(super) async fn answer(self, version: &str, rest: &str, items: Vec<Value>) {
        let metadata = json!({"resourceVersion": version, "continue": rest});
        let list =
            json!({"kind": "List", "apiVersion": "v1", "metadata": metadata, "items": items});
        self.send(200, &list.to_string()).await;
    }

    /// Answers with a failure.
    pub(super) async fn refuse(self, code: u16, message: &str) {
        self.send(code, &status(code, message).to_string()).await;
    }

    /// Answers with any text.
    pub(super) async fn send(mut self, code: u16, body: &str) {
        let length = body.len();
        let answer = format!(
            "HTTP/1.1 {code} X\r\ncontent-type: application/json\r\n\
             content-length: {length}\r\nconnection: close\r\n\r\n{body}"
        );
        // The client may have left.
        let _ = self.stream.write_all(answer.as_bytes()).await;
        let _ = self.stream.shutdown().await;
    }

    /// Opens a watch.
    pub(super) async fn open(mut self) -> Watch {
        let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\
                    transfer-encoding: chunked\r\n\r\n";
        self.stream.write_all(head.as_bytes()).await.unwrap();
        self.stream.flush().await.unwrap();
        Watch(self.stream)
    }
}

impl Watch {
    /// Sends an event as a line.
    pub(super) async fn event(&mut self, kind: &str, object: Value) {
        let event = json!({"type": kind, "object": object});
        self.text(&format!("{event}\n")).await;
    }

    /// Sends any text as a chunk.
    pub(super) async fn text(&mut self, text: &str) {
        self.bytes(text.as_bytes()).await;
    }

    /// Sends anything as a chunk.
    pub(super) async fn bytes(&mut self, bytes: &[u8]) {
        let head = format!("{:x}\r\n", bytes.len());
        let chunk = [head.as_bytes(), bytes, b"\r\n"].concat();
        self.0.write_all(&chunk).await.unwrap();
        self.0.flush().await.unwrap();
    }

    /// Ends the watch in order, as the server does after a while.
    pub(super) async fn end(mut self) {
        self.0.write_all(b"0\r\n\r\n").await.unwrap();
        self.0.shutdown().await.unwrap();
    }

    /// Waits until the client has left.
    pub(super) async fn left(mut self) {
        let read = timeout(DEADLINE, self.0.read(&mut [0])).await;
        let read = read.expect("the client stays");
        assert!(matches!(read, Ok(0) | Err(_)));
    }
}

/// A port that is taken and refuses connections until a server listens.
pub(super) fn bound() -> TcpSocket {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    socket
}

/// A failure as the API describes it.
pub(super) fn status(code: u16, message: &str) -> Value {
    json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": message, "reason": "Test", "code": code,
    })
}
