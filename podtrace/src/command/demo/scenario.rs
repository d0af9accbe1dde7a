//! The scenarios of the demo, in order.
use std::{
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4},
    time::Duration,
};

use tokio::{sync::watch, time::timeout};

use super::shown::{BACKEND_PORT, LOST_PING, PING, SERVICE_PORT};
use crate::{
    command::width,
    lab::{Lab, LabNode, LabPod, fault::forget_vtep, service::serve, traffic},
    live::{runtimes::Sockets, topology::describe},
    node::{pod_table::PodTable, target::Node},
    output::topology::text,
    sink::TextSink,
};

/// How long the packets of a scenario may take until they are printed: those that end
/// nowhere take the longest.
const PATIENCE: Duration = Duration::from_secs(3);
/// Payload of each ping in bytes, as ping's own default.
const PING_PAYLOAD: usize = 56;
/// Address and port of the Service.
const SERVICE: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(10, 96, 0, 10), SERVICE_PORT);

/// The stage: what the scenarios act on, and where their titles go.
pub(super) struct Stage {
    pub(super) nodes: Vec<Node>,
    pub(super) table: PodTable,
    pub(super) pings: u16,
    pub(super) color: bool,
    /// Takes the titles; the packets go there, too.
    pub(super) out: Box<dyn TextSink>,
    /// How many of the pings' packets were printed.
    pub(super) printed: watch::Receiver<u64>,
}

/// One pod pings an address.
struct Scenario {
    title: &'static str,
    from: LabPod,
    to: IpAddr,
}

impl Stage {
    /// Plays everything.
    pub(super) async fn play(mut self, lab: &Lab) {
        let [first, second] = lab.nodes.as_slice() else {
            return;
        };
        let ([from, near, ..], [far, ..]) = (first.pods.as_slice(), second.pods.as_slice()) else {
            return;
        };
        for (title, to) in [
            (
                "1. within a pod, over localhost",
                Ipv4Addr::LOCALHOST.into(),
            ),
            ("2. pod to pod on one node", near.ipv4.into()),
            ("3. pod to pod across nodes", far.ipv4.into()),
            ("3. the same over IPv6", far.ipv6.into()),
        ] {
            let from = from.clone();
            self.answered(Scenario { title, from, to }).await;
        }
        self.served(from, far, first).await;
        let title = "5. a fault, node1 has lost the forwarding entry of node2";
        let (from, to) = (from.clone(), far.ipv4.into());
        self.lost(Scenario { title, from, to }, first, second).await;
    }

    async fn answered(&mut self, scenario: Scenario) {
        let pings = self.pings;
        self.title(&scenario);
        // A request and its reply.
        let packets = 2 * u64::from(pings);
        if let Err(error) = self.ping(scenario, PING, pings, packets).await {
            self.print_line(&format!("ping failed: {error}"));
        }
    }

    /// A pod asks a Service, whose backend is on the other node.
    async fn served(&mut self, from: &LabPod, to: &LabPod, node: &LabNode) {
        let backend = SocketAddrV4::new(to.ipv4, BACKEND_PORT);
        let name = &from.name;
        self.print_line(&format!(
            "\n== 4. a Service, {SERVICE} is {backend} by a rule of node1: {name} asks it"
        ));
        if let Err(error) = serve(node, SERVICE, backend) {
            return self.print_line(&format!("left out: {error}"));
        }
        let (client, server) = (from.netns.clone(), to.netns.clone());
        let asked = self.until_printed(2, move || {
            let (to, addr) = (SocketAddr::V4(SERVICE), SocketAddr::V4(backend));
            traffic::udp_exchange_through(&client, to, &server, addr, 1, b"a question")
        });
        if let Err(error) = asked.await {
            self.print_line(&format!("the request failed: {error}"));
        }
    }

    /// Plays a scenario in which nothing arrives, then shows the problems that `podtrace
    /// topology` finds.
    async fn lost(&mut self, scenario: Scenario, node: &LabNode, peer: &LabNode) {
        if let Err(error) = forget_vtep(node, peer) {
            return self.print_line(&format!("the fault failed: {error}"));
        }
        self.title(&scenario);
        if self.ping(scenario, LOST_PING, 1, 1).await.is_ok() {
            self.print_line("it was answered all the same");
        }
        let found = describe(self.nodes.clone(), Sockets::None, &self.table).await;
        match found {
            Ok((topology, _)) => {
                let mut out = "\nwhat podtrace topology says of it: ".to_owned();
                text::write_problems(&mut out, &topology, self.color, width());
                self.print(&out);
            }
            Err(error) => self.print_line(&format!("topology failed: {error}")),
        }
    }

    /// Pings, and waits until the packets are printed.
    async fn ping(
        &mut self,
        scenario: Scenario,
        id: u16,
        pings: u16,
        packets: u64,
    ) -> io::Result<()> {
        let Scenario { from, to, .. } = scenario;
        self.until_printed(packets, move || {
            traffic::ping(&from.netns, to, id, pings, PING_PAYLOAD)
        })
        .await
    }

    /// Makes traffic, and waits until this many of its packets are printed.
    async fn until_printed<T: Send + 'static>(
        &mut self,
        packets: u64,
        traffic: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> io::Result<()> {
        let wanted = *self.printed.borrow() + packets;
        let made = tokio::task::spawn_blocking(traffic).await;
        let made = made.map_err(io::Error::other)?;
        // Waits for a limited time, as a packet may have been lost.
        let _ = timeout(
            PATIENCE,
            self.printed.wait_for(|printed| *printed >= wanted),
        )
        .await;
        made.map(|_answers| ())
    }

    fn title(&mut self, scenario: &Scenario) {
        let Scenario { title, from, to } = scenario;
        self.print_line(&format!("\n== {title}: {} pings {to}", from.name));
    }

    fn print_line(&mut self, line: &str) {
        self.print(&format!("{line}\n"));
    }

    fn print(&mut self, text: &str) {
        // Packets go to the same reader; the printer reports it if the reader has left.
        let _ = self.out.take(text);
    }
}
