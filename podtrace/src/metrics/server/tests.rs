use std::{
    io::{Read as _, Write as _},
    net::TcpStream as Client,
};

use super::*;
use crate::metrics::{Metrics, exposition::tests::parse};

fn serve() -> (Server, SocketAddr) {
    let listener = Server::open("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = listener.local_addr().unwrap();
    let source = Metrics::default().source(None);
    (Server::start(listener, source).unwrap(), address)
}

fn ask(address: SocketAddr, request: &str) -> String {
    let mut client = Client::connect(address).unwrap();
    client.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn metrics_are_served_until_the_end() {
    let (server, address) = serve();
    for target in ["/metrics", "/metrics?format=text"] {
        let request = format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n");
        let answer = ask(address, &request);
        let (head, page) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
        let length = format!("Content-Length: {}\r\n", page.len());
        assert!(
            head.contains(&length) && head.contains(CONTENT_TYPE),
            "{head}"
        );
        assert!(parse(page).contains_key("podtrace_build_info"));
    }
    let head = ask(address, "HEAD /metrics HTTP/1.1\r\n\r\n");
    assert!(head.starts_with("HTTP/1.1 200 OK") && head.ends_with("\r\n\r\n"));
    // One that says nothing hinders neither others nor the end.
    let silent = Client::connect(address).unwrap();
    assert!(ask(address, "GET /metrics HTTP/1.0\r\n\r\n").contains("200 OK"));
    drop(server);
    assert!(Client::connect(address).is_err());
    drop(silent);
}

#[test]
fn what_is_no_request_for_metrics_is_refused() {
    let (_server, address) = serve();
    for (request, status) in [
        ("GET / HTTP/1.1\r\n\r\n", "404 Not Found"),
        ("GET /metricsx HTTP/1.1\r\n\r\n", "404 Not Found"),
        ("POST /metrics HTTP/1.1\r\n\r\n", "405 Method Not Allowed"),
        ("GET /metrics\r\n\r\n", "400 Bad Request"),
        ("GET /metrics HTTP/2.0\r\n\r\n", "400 Bad Request"),
        ("GET  /metrics HTTP/1.1\r\n\r\n", "400 Bad Request"),
        ("\r\n\r\n", "400 Bad Request"),
        (
            &"x".repeat(HEADER_MAX),
            "431 Request Header Fields Too Large",
        ),
    ] {
        let answer = ask(address, request);
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status}\r\n")),
            "{answer}"
        );
    }
}

#[test]
fn port_in_use_is_an_error() {
    let (_server, address) = serve();
    let error = Server::open(address).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
}
