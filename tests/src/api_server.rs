//! A small Kubernetes API server: it lists given pods, nodes and Services, and its watches stay
//! open and silent. Pods with an agent are listed too, and commands run in them, as kubectl exec has
//! them.

mod exec;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

pub use exec::{Agent, Agents};

/// Upper bound of a request.
const REQUEST_MAX: usize = 16 << 10;

/// A running server; dropping it ends it.
pub struct ApiServer {
    dir: TempDir,
    agents: Arc<Agents>,
    _runtime: tokio::runtime::Runtime,
}

impl ApiServer {
    /// Serves these pods, nodes and Services on 127.0.0.1 of the caller's network.
    pub fn new(pods: Vec<Value>, nodes: Vec<Value>, services: Vec<Value>) -> Result<Self> {
        Self::with_agents(pods, nodes, services, Agents::default())
    }

    /// The same, with pods that have agents.
    pub fn with_agents(
        pods: Vec<Value>,
        nodes: Vec<Value>,
        services: Vec<Value>,
        agents: Agents,
    ) -> Result<Self> {
        let (ca, acceptor) = certificates()?;
        let runtime = tokio::runtime::Runtime::new()?;
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0"))?;
        let dir = write_config(&ca, listener.local_addr()?)?;
        let agents = Arc::new(agents);
        let lists = Arc::new(Lists {
            pods,
            nodes,
            services,
            agents: Arc::clone(&agents),
        });
        runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, lists) = (acceptor.clone(), Arc::clone(&lists));
                // A client that leaves early is no error.
                tokio::spawn(async move { lists.answer(acceptor, stream).await.ok() });
            }
        });
        Ok(Self {
            dir,
            agents,
            _runtime: runtime,
        })
    }

    /// A kubeconfig for it.
    #[must_use]
    pub fn kubeconfig(&self) -> PathBuf {
        self.dir.path().join("config")
    }

    /// Takes a pod away, with the command that runs in it.
    pub fn take_away(&self, pod: &str) {
        for agent in self.agents.pods.iter().filter(|agent| agent.name == pod) {
            agent.gone.notify_waiters();
        }
    }
}

struct Lists {
    pods: Vec<Value>,
    nodes: Vec<Value>,
    services: Vec<Value>,
    agents: Arc<Agents>,
}

impl Lists {
    async fn answer(&self, acceptor: TlsAcceptor, stream: TcpStream) -> Result<()> {
        let mut stream = acceptor.accept(stream).await?;
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") && request.len() < REQUEST_MAX {
            request.push(stream.read_u8().await?);
        }
        let request = String::from_utf8_lossy(&request);
        if request.contains("watch=true") || request.contains("watch=1") {
            let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\
                        transfer-encoding: chunked\r\n\r\n";
            stream.write_all(head.as_bytes()).await?;
            // Until the client leaves.
            stream.read_u8().await?;
            return Ok(());
        }
        if request.starts_with("GET /api/v1/namespaces/podtrace/pods/") {
            return self.agents.run(&request, stream).await;
        }
        let agents = self.agents.listed();
        let found = self.found(&request);
        let (kind, items) = if request.starts_with("GET /api/v1/namespaces/podtrace/pods?") {
            ("PodList", &agents)
        } else if ["pods", "namespaces/default/pods"]
            .iter()
            .any(|kind| request.starts_with(&format!("GET /api/v1/{kind}")))
        {
            ("PodList", &found)
        } else if request.starts_with("GET /api/v1/services") {
            ("ServiceList", &self.services)
        } else if request.starts_with("GET /apis/discovery.k8s.io/v1/endpointslices") {
            ("EndpointSliceList", &Vec::new())
        } else {
            ("NodeList", &self.nodes)
        };
        let body = json!({
            "apiVersion": "v1",
            "kind": kind,
            "metadata": {"resourceVersion": "1"},
            "items": items,
        });
        answer(&mut stream, "200 OK", &body).await
    }
}

/// Answers with JSON, and ends the connection.
async fn answer(stream: &mut (impl AsyncWrite + Unpin), status: &str, body: &Value) -> Result<()> {
    let body = body.to_string();
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\n\
         connection: close\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all((head + &body).as_bytes()).await?;
    Ok(stream.shutdown().await?)
}

impl Lists {
    /// The pods that a request is about: all, or those of a name or address.
    fn found(&self, request: &str) -> Vec<Value> {
        let asked = |field: &str| {
            let (_, rest) = request.split_once(&format!("fieldSelector={field}%3D"))?;
            rest.split([' ', '&']).next()
        };
        let (name, address) = (asked("metadata.name"), asked("status.podIP"));
        let mut pods = self.pods.clone();
        pods.retain(|pod| {
            name.is_none_or(|name| pod["metadata"]["name"] == name)
                && address.is_none_or(|address| pod["status"]["podIP"] == address)
        });
        pods
    }
}

/// An authority in PEM, and a server with a certificate of it.
fn certificates() -> Result<(String, TlsAcceptor)> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate()?;
    let ca = params.self_signed(&key)?.pem();
    let issuer = Issuer::new(params, key);
    let key = KeyPair::generate()?;
    let certificate =
        CertificateParams::new(vec!["127.0.0.1".to_owned()])?.signed_by(&key, &issuer)?;
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let provider = tokio_rustls::rustls::crypto::ring::default_provider();
    let config = ServerConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)?;
    Ok((ca, TlsAcceptor::from(Arc::new(config))))
}

fn write_config(ca: &str, address: SocketAddr) -> Result<TempDir> {
    let dir = tempfile::tempdir()?;
    let write = |name: &str, text: &str| {
        let path: &Path = &dir.path().join(name);
        std::fs::write(path, text).with_context(|| format!("write {}", path.display()))
    };
    write("ca.pem", ca)?;
    write(
        "config",
        &format!(
            "apiVersion: v1
kind: Config
current-context: lab
contexts: [{{name: lab, context: {{cluster: lab, user: lab}}}}]
clusters: [{{name: lab, cluster: {{server: 'https://{address}', certificate-authority: ca.pem}}}}]
users: [{{name: lab, user: {{token: lab}}}}]
"
        ),
    )?;
    Ok(dir)
}
