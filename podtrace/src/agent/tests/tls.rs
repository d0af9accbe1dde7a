//! Agents at a port, with certificates that are good, and others.
use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
};

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, SanType, date_time_ymd,
};
use rustls::{ClientConfig, RootCertStore, pki_types::ServerName, version::TLS13};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;

use super::*;

const SCRIPT: &str = "echo begin; trap 'exit 0' INT; while :; do sleep 0.01; done";

/// Makes a certificate one of the past.
fn expired(params: &mut CertificateParams) {
    params.not_before = date_time_ymd(2001, 1, 1);
    params.not_after = date_time_ymd(2002, 1, 1);
}

/// A certificate authority.
struct Authority {
    certificate: Certificate,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params
            .distinguished_name
            .push(DnType::CommonName, "authority");
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        let issuer = Issuer::new(params, key);
        Self {
            certificate,
            issuer,
        }
    }

    /// Writes a certificate with these names into a folder.
    fn write(
        &self,
        folder: &Path,
        names: Vec<SanType>,
        change: impl FnOnce(&mut CertificateParams),
    ) {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.subject_alt_names = names;
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        fs::create_dir_all(folder).unwrap();
        fs::write(folder.join("tls.crt"), certificate.pem()).unwrap();
        fs::write(folder.join("tls.key"), key.serialize_pem()).unwrap();
        fs::write(folder.join("ca.crt"), self.certificate.pem()).unwrap();
        let mode = fs::Permissions::from_mode(0o600);
        fs::set_permissions(folder.join("tls.key"), mode).unwrap();
    }
}

fn dns(name: &str) -> Vec<SanType> {
    vec![SanType::DnsName(name.try_into().unwrap())]
}

fn this_machine() -> Vec<SanType> {
    vec![SanType::IpAddress(Ipv4Addr::LOCALHOST.into())]
}

/// An agent at a port, and a console with the name `alice.example.com`.
struct Port {
    authority: Authority,
    address: SocketAddr,
    served: Served,
}

impl Port {
    async fn new(script: &str, change: impl FnOnce(&mut ServeOptions)) -> Self {
        Self::with(Authority::new(), script, change).await
    }

    async fn with(
        authority: Authority,
        script: &str,
        change: impl FnOnce(&mut ServeOptions),
    ) -> Self {
        let (folder, mut options) = prepared(script);
        authority.write(&folder.path().join("server"), this_machine(), |_| {});
        authority.write(
            &folder.path().join("alice"),
            dns("alice.example.com"),
            |_| {},
        );
        change(&mut options);
        let server = folder.path().join("server");
        let listener = Listener::tls("127.0.0.1:0", &server).await.unwrap();
        let address = listener.place();
        let address = address.strip_prefix("tcp://").unwrap().parse().unwrap();
        Self {
            authority,
            address,
            served: Served::at(vec![listener], options, folder),
        }
    }

    fn address(&self, console: &str) -> Address {
        Address::Tls {
            host: "127.0.0.1".to_owned(),
            port: self.address.port(),
            folder: Some(self.served.file(console)),
        }
    }

    async fn connect(&self, console: &str) -> Result<Agent, AgentError> {
        Agent::connect(&self.address(console), Allow::default()).await
    }

    /// Why a console is refused.
    async fn refusal(&self, console: &str) -> String {
        let refused = self.connect(console).await.map(|_| ());
        refused.unwrap_err().to_string()
    }

    /// A console with another certificate.
    fn console(&self, name: &str, change: impl FnOnce(&mut CertificateParams)) {
        let folder = self.served.file(name);
        let names = dns(&format!("{name}.example.com"));
        self.authority.write(&folder, names, change);
    }
}

/// What a refused request says.
async fn refused(agent: &mut Agent, request: &Request) -> String {
    let refused = agent.trace(request).await.map(|_| ());
    refused.unwrap_err().to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn session_arrives_over_tls() {
    let port = Port::new("seq 1 200000; echo over", |options| {
        options.gives_payload = true
    })
    .await;
    let mut agent = port.connect("alice").await.unwrap();
    assert_eq!(agent.host(), "worker1");
    // Of what packets carry, certificates get nothing without a file that says so.
    assert!(!agent.gives_payload());
    let payload = Request {
        payload: true,
        ..Request::default()
    };
    let why = refused(&mut agent, &payload).await;
    assert!(why.contains("--consoles"), "{why}");
    let trace = agent.trace(&Request::default()).await.unwrap();
    let (session, control) = trace.into_parts();
    let text = rest(session).await;
    assert_eq!(text.lines().count(), 200_001);
    assert_eq!((control.failure(), control.notices().len()), (None, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn consoles_of_others_are_told_what_is_wrong() {
    let port = Port::new(SCRIPT, |_| {}).await;
    let other = Authority::new();
    let folder = port.served.file("mallory");
    other.write(&folder, dns("alice.example.com"), |_| {});
    // It does not trust the agent, nor the agent it.
    let why = port.refusal("mallory").await;
    assert!(
        why.contains("certificate of the agent") && why.contains("ca.crt"),
        "{why}"
    );
    fs::write(folder.join("ca.crt"), port.authority.certificate.pem()).unwrap();
    let why = port.refusal("mallory").await;
    assert!(
        why.contains("the agent refuses the certificate of this console, alice.example.com:")
            && why.contains("not signed by an authority"),
        "{why}"
    );
    port.console("late", expired);
    let why = port.refusal("late").await;
    assert!(
        why.contains("late.example.com, has expired, at 2002-01-01"),
        "{why}"
    );
    port.console("server-only", |params| {
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    });
    let why = port.refusal("server-only").await;
    assert!(why.contains("not for this side"), "{why}");
    fs::remove_file(port.served.file("server-only").join("tls.key")).unwrap();
    let why = port.refusal("server-only").await;
    assert!(
        why.contains("tls.key") && why.contains("No such file"),
        "{why}"
    );
    fs::write(port.served.file("server-only").join("tls.key"), "x").unwrap();
    let why = port.refusal("server-only").await;
    assert!(why.contains("holds no private key"), "{why}");
    let key = KeyPair::generate().unwrap().serialize_pem();
    fs::write(port.served.file("server-only").join("tls.key"), key).unwrap();
    let why = port.refusal("server-only").await;
    assert!(why.contains("is not the key of"), "{why}");
    port.connect("alice").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn agents_of_other_names_are_refused() {
    let port = Port::new(SCRIPT, |_| {}).await;
    // Its certificate is for 127.0.0.1 alone.
    let address = Address::Tls {
        host: "localhost".to_owned(),
        port: port.address.port(),
        folder: Some(port.served.file("alice")),
    };
    let why = Agent::connect(&address, Allow::default())
        .await
        .map(|_| ())
        .unwrap_err()
        .to_string();
    assert!(
        why.contains("is for 127.0.0.1, not for localhost\n"),
        "{why}"
    );
    let server = port.served.file("server");
    port.authority.write(&server, this_machine(), expired);
    let why = port.refusal("alice").await;
    assert!(
        why.contains("certificate of the agent has expired"),
        "{why}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn new_certificates_are_read_and_wrong_ones_are_not() {
    let port = Port::new(SCRIPT, |_| {}).await;
    port.connect("alice").await.unwrap();
    // As a rotation in two steps: the key is there last.
    let server = port.served.file("server");
    let other = Authority::new();
    other.write(&port.served.file("bob"), dns("bob.example.com"), |_| {});
    other.write(&port.served.file("next"), this_machine(), |_| {});
    let next = port.served.file("next");
    fs::copy(next.join("tls.crt"), server.join("tls.crt")).unwrap();
    port.connect("alice").await.unwrap();
    fs::copy(next.join("ca.crt"), server.join("ca.crt")).unwrap();
    fs::copy(next.join("tls.key"), server.join("tls.key")).unwrap();
    port.connect("bob").await.unwrap();
    port.refusal("alice").await;
}

/// TLS as a console speaks it that has no certificate.
async fn anonymous(port: &Port) -> std::io::Result<Vec<u8>> {
    let mut store = RootCertStore::empty();
    store.add(port.authority.certificate.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])
        .unwrap()
        .with_root_certificates(store)
        .with_no_client_auth();
    let stream = TcpStream::connect(port.address).await.unwrap();
    let name = ServerName::try_from("127.0.0.1").unwrap();
    let mut stream = TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await?;
    stream
        .write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0")
        .await?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await?;
    Ok(bytes)
}

#[tokio::test(flavor = "multi_thread")]
async fn who_shows_no_certificate_gets_nothing() {
    let port = Port::new(SCRIPT, |_| {}).await;
    let got = anonymous(&port).await;
    let why = got.unwrap_err().to_string();
    assert!(why.contains("CertificateRequired"), "{why}");
    // Nor who speaks something else.
    for garbage in [
        &b"GET / HTTP/1.1\r\n\r\n"[..],
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        &[0; 4096],
    ] {
        let mut stream = TcpStream::connect(port.address).await.unwrap();
        let _ = stream.write_all(garbage).await;
        let mut bytes = Vec::new();
        // An alert at most, and the end.
        let _ = stream.read_to_end(&mut bytes).await;
        assert!(bytes.len() < 64, "{bytes:?}");
    }
    port.connect("alice").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn crowd_that_says_nothing_keeps_nobody_out() {
    let port = Port::new(SCRIPT, |_| {}).await;
    let mut crowd = Vec::new();
    for number in 0..700 {
        let mut stream = TcpStream::connect(port.address).await.unwrap();
        if number % 2 == 0 {
            // The begin of a message of a handshake.
            stream.write_all(&[22, 3, 1, 2, 0, 1, 0]).await.unwrap();
        }
        crowd.push(stream);
        if number % 100 == 99 {
            port.connect("alice").await.unwrap();
        }
    }
    // The first ones had to go.
    let mut bytes = Vec::new();
    let ended = crowd[0].read_to_end(&mut bytes).await;
    assert!(ended.is_err() || bytes.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn rights_are_those_of_the_name() {
    let mut path = None;
    let port = Port::new(SCRIPT, |options| {
        let file = options.program.with_file_name("consoles.toml");
        let text = "[[console]]\nname = \"alice.*\"\npayload = true\nmax-traces = 1\n\
                    max-duration = \"1h\"\nexpression = \"icmp or tcp\"\n\
                    [[console]]\nname = \"bob.*\"\n";
        fs::write(&file, text).unwrap();
        options.consoles = Some(file.clone());
        options.traces_max = 4;
        options.max_rate = Some(5000);
        path = Some(file);
    })
    .await;
    port.console("bob", |_| {});
    port.console("eve", |_| {});
    let why = port.refusal("eve").await;
    assert!(why.contains("eve.example.com may not trace there"), "{why}");
    let mut bob = port.connect("bob").await.unwrap();
    assert!(!bob.gives_payload());
    let mut alice = port.connect("alice").await.unwrap();
    assert!(alice.gives_payload());
    let payload = Request {
        payload: true,
        expression: "udp".to_owned(),
        ..Request::default()
    };
    let why = refused(&mut bob, &payload).await;
    assert!(why.contains("headers only\nhint: "), "{why}");
    let first = alice.trace(&payload).await.unwrap();
    let (_session, control) = first.into_parts();
    let notices = control.notices();
    assert_eq!(notices.len(), 3, "{notices:?}");
    assert!(notices[0].contains("after 3600 s"), "{notices:?}");
    assert!(notices[1].contains("icmp or tcp"), "{notices:?}");
    assert!(notices[2].contains("5000 events a second"), "{notices:?}");
    // Hers is taken, also over another connection; others have theirs.
    let mut again = port.connect("alice").await.unwrap();
    let why = refused(&mut again, &payload).await;
    assert!(
        why.contains("alice.example.com has 1 traces already"),
        "{why}"
    );
    let (_session, _control) = bob.trace(&Request::default()).await.unwrap().into_parts();
    // What is taken away is gone at once, also on connections that there are.
    fs::write(path.unwrap(), "[[console]]\nname = \"alice.*\"\n").unwrap();
    let why = refused(&mut bob, &Request::default()).await;
    assert!(why.contains("may not trace there"), "{why}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_console_has_so_many_connections() {
    let port = Port::new(SCRIPT, |_| {}).await;
    port.console("bob", |_| {});
    let mut connections = Vec::new();
    while let Ok(agent) = port.connect("alice").await {
        connections.push(agent);
        assert!(connections.len() < 100, "no bound");
    }
    port.connect("bob").await.unwrap();
    connections.clear();
    let begun = Instant::now();
    while port.connect("alice").await.is_err() {
        assert!(begun.elapsed() < DEADLINE, "no place comes free");
    }
}
