use std::{
    collections::BTreeSet,
    io::Write,
    net::TcpListener,
    sync::{Arc, Mutex},
};

use opentelemetry_proto::tonic::{
    collector::trace::v1::{
        ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
        trace_service_server::{TraceService, TraceServiceServer},
    },
    trace::v1::TracesData,
};
use podtrace_ebpf::record::Direction;
use tokio::runtime::Runtime;
use tonic::{Request, Response, Status as Answer, transport::Server};

use super::*;
use crate::{
    model::tap_point::Role,
    path::LateOf,
    rules::fixture::healthy,
    verdict::tests::roads::{road, world},
};

/// Keeps what is written, as a file does.
#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Vec<u8>>>);

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn lines(paths: &[Path], session: &str) -> String {
    let (world, file) = (world(healthy()), Shared::default());
    let receiver = Box::new(Lines(file.clone()));
    let mut traces = OtlpTraces::new(receiver, session.into(), 0);
    for path in paths {
        traces.write(path, &world).unwrap();
    }
    assert_eq!(traces.finish().unwrap(), 0);
    String::from_utf8(file.0.lock().unwrap().clone()).unwrap()
}

fn spans(batches: &[ExportTraceServiceRequest]) -> Vec<Span> {
    let resources = batches.iter().flat_map(|batch| &batch.resource_spans);
    let scopes = resources.flat_map(|resource| &resource.scope_spans);
    scopes.flat_map(|scope| scope.spans.clone()).collect()
}

fn read(lines: &str) -> Vec<ExportTraceServiceRequest> {
    let read = lines.lines().map(serde_json::from_str);
    read.collect::<Result<_, _>>().unwrap()
}

fn numbered(paths: std::ops::Range<u64>) -> Vec<Path> {
    paths
        .map(|id| Path {
            id,
            ..road(5).path()
        })
        .collect()
}

#[test]
fn path_is_a_trace_and_hop_is_a_span() {
    let written = lines(&[road(4).path()], "s");
    let read: TracesData = serde_json::from_str(&written).unwrap();
    insta::assert_snapshot!(serde_json::to_string_pretty(&read).unwrap());
    assert_eq!(lines(&[], "s"), "");
}

#[test]
fn ids_are_those_of_session_and_packet() {
    let paths = numbered(1..300);
    let written = lines(&paths, "s");
    assert_eq!(lines(&paths, "s"), written);
    let batches = read(&written);
    assert!(batches.len() > 1, "{}", batches.len());
    let all = spans(&batches);
    assert_eq!(all.len(), paths.len() * 6);
    let ids: BTreeSet<_> = all.iter().map(|span| &span.span_id).collect();
    let traces: BTreeSet<_> = all.iter().map(|span| &span.trace_id).collect();
    assert_eq!((ids.len(), traces.len()), (all.len(), paths.len()));
    for span in &all {
        assert_eq!((span.trace_id.len(), span.span_id.len()), (16, 8));
        let roots = all.iter().filter(|root| root.parent_span_id.is_empty());
        let mut own = roots.filter(|root| root.trace_id == span.trace_id);
        let root = own.next().unwrap();
        assert!(own.next().is_none());
        assert!(span == root || span.parent_span_id == root.span_id);
        assert!(span.start_time_unix_nano >= root.start_time_unix_nano);
        assert!(span.end_time_unix_nano <= root.end_time_unix_nano);
    }
    let other = spans(&read(&lines(&paths, "t")));
    assert!(other.iter().all(|span| !traces.contains(&span.trace_id)));
}

#[test]
fn correction_is_in_the_trace_of_what_it_corrects() {
    let (first, id) = (road(3).path(), road(3).path().id);
    let corrected = |id, hops, before: &Path| Path {
        id,
        late_of: Some(LateOf::of(before)),
        ..road(hops).path()
    };
    let second = corrected(id + 1, 4, &first);
    // Refused later: no hop is new.
    let third = corrected(id + 2, 4, &second);
    let all = spans(&read(&lines(&[first, second, third], "s")));
    let traces: BTreeSet<_> = all.iter().map(|span| &span.trace_id).collect();
    assert_eq!((traces.len(), all.len()), (1, 3 + 4));
    let roots: Vec<_> = all.iter().filter(|span| span.name == "udp").collect();
    assert_eq!(roots[0].parent_span_id, Vec::<u8>::new());
    assert_eq!(roots[1].parent_span_id, roots[0].span_id);
    assert_eq!(roots[2].parent_span_id, roots[1].span_id);
}

/// What a bridge has sent to others besides has no span, and is counted.
#[test]
fn copies_for_others_are_counted() {
    let world = world(healthy());
    let mut path = road(5).path();
    let copy = {
        let mut points = (0..world.tap_points.next_number()).filter(|number| {
            let point = world.tap_points.get(*number);
            let is_new = path.hops.iter().all(|hop| hop.interface != *number);
            is_new && point.is_some_and(|point| point.role == Role::Pod)
        });
        Hop {
            interface: points.next_back().unwrap(),
            direction: Direction::Ingress,
            aside: true,
            ..path.hops[1].clone()
        }
    };
    path.hops.insert(2, copy);
    let receiver = Box::new(Lines(Shared::default()));
    let mut traces = OtlpTraces::new(receiver, "s".into(), 0);
    traces.write(&path, &world).unwrap();
    assert_eq!(traces.copies(), 1);
    let written = lines(&[path], "s");
    assert_eq!(spans(&read(&written)).len(), 6);
    assert!(written.contains("podtrace.also_seen_by"), "{written}");
}

/// A collector that rejects one span of each batch.
#[derive(Clone, Default)]
struct Fake(Arc<Mutex<Vec<ExportTraceServiceRequest>>>);

#[tonic::async_trait]
impl TraceService for Fake {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Answer> {
        self.0.lock().unwrap().push(request.into_inner());
        Ok(Response::new(ExportTraceServiceResponse {
            partial_success: Some(ExportTracePartialSuccess {
                rejected_spans: 1,
                error_message: String::new(),
            }),
        }))
    }
}

#[test]
fn collector_receives_what_a_file_would_hold() {
    let (runtime, fake) = (Runtime::new().unwrap(), Fake::default());
    let entered = runtime.enter();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    let listener = tokio::net::TcpListener::from_std(listener).unwrap();
    let incoming = tonic::transport::server::TcpIncoming::from(listener);
    let server = Server::builder().add_service(TraceServiceServer::new(fake.clone()));
    runtime.spawn(server.serve_with_incoming(incoming));
    drop(entered);
    let endpoint = format!("http://{address}").parse().unwrap();
    let collector = Collector::connect(endpoint).unwrap();
    let (world, paths) = (world(healthy()), numbered(1..300));
    let mut traces = OtlpTraces::new(Box::new(collector), "s".into(), 0);
    for path in &paths {
        traces.write(path, &world).unwrap();
    }
    let rejected = traces.finish().unwrap();
    let received = fake.0.lock().unwrap();
    assert_eq!(*received, read(&lines(&paths, "s")));
    assert_eq!(rejected, received.len() as u64);
}

#[test]
fn silence_is_an_error_that_names_the_collector() {
    // Nobody listens there any more.
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr();
    let url = format!("http://{}", free.unwrap());
    let error = Collector::connect(url.parse().unwrap()).err().unwrap();
    assert_eq!(
        error.to_string(),
        format!("nobody takes OTLP by gRPC at {url}")
    );
}

#[test]
fn only_addresses_of_collectors_are_taken() {
    for good in [
        "http://127.0.0.1:4317",
        "http://collector.local:4317/",
        "http://[::1]:4317",
    ] {
        assert!(good.parse::<Endpoint>().is_ok(), "{good}");
    }
    for bad in [
        "",
        "127.0.0.1:4317",
        "http://127.0.0.1",
        "http://127.0.0.1:0",
        "http://127.0.0.1:70000",
        "http://:4317",
        "grpc://127.0.0.1:4317",
        "http://127.0.0.1:4317/v1/traces",
        "http://a b:4317",
    ] {
        let error = bad.parse::<Endpoint>().unwrap_err();
        assert!(
            error.starts_with("must be a collector's address"),
            "{bad}: {error}"
        );
    }
    let error = "https://127.0.0.1:4317".parse::<Endpoint>().unwrap_err();
    assert!(error.starts_with("must be http"), "{error}");
}
