//! What happens in the demo's lab, one after the other.
use std::{net::IpAddr, time::Duration};

use tokio::{sync::watch, time::timeout};

use super::shown::{LOST_PING, PING};
use crate::{
    lab::{Lab, LabNode, LabPod, fault::forget_vtep, traffic},
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
                "1. container to container in one pod, over localhost",
                std::net::Ipv4Addr::LOCALHOST.into(),
            ),
            ("2. pod to pod on one node", near.ipv4.into()),
            ("3. pod to pod across nodes", far.ipv4.into()),
            ("3. the same over IPv6", far.ipv6.into()),
        ] {
            let from = from.clone();
            self.answered(Scenario { title, from, to }).await;
        }
        let title = "4. a fault, node1 has lost the forwarding entry of node2";
        let (from, to) = (from.clone(), far.ipv4.into());
        self.lost(Scenario { title, from, to }, first, second).await;
    }

    async fn answered(&mut self, scenario: Scenario) {
        let pings = self.pings;
        self.title(&scenario);
        // A request and its reply.
        let packets = 2 * u64::from(pings);
        if let Err(error) = self.ping(scenario, PING, pings, packets).await {
            self.say(&format!("ping failed: {error}"));
        }
    }

    /// The same where nothing arrives; then what `podtrace topology` says of it.
    async fn lost(&mut self, scenario: Scenario, node: &LabNode, peer: &LabNode) {
        if let Err(error) = forget_vtep(node, peer) {
            return self.say(&format!("the fault failed: {error}"));
        }
        self.title(&scenario);
        if self.ping(scenario, LOST_PING, 1, 1).await.is_ok() {
            self.say("it was answered all the same");
        }
        let found = describe(self.nodes.clone(), Sockets::None, &self.table).await;
        match found {
            Ok(topology) => {
                let mut out = "\nwhat podtrace topology says of it: ".to_owned();
                text::write_problems(&mut out, &topology, self.color);
                self.print(&out);
            }
            Err(error) => self.say(&format!("topology failed: {error}")),
        }
    }

    /// Pings, and waits until the packets are printed.
    async fn ping(
        &mut self,
        scenario: Scenario,
        id: u16,
        pings: u16,
        packets: u64,
    ) -> std::io::Result<()> {
        let wanted = *self.printed.borrow() + packets;
        let Scenario { from, to, .. } = scenario;
        let pinged = tokio::task::spawn_blocking(move || {
            traffic::ping(&from.netns, to, id, pings, PING_PAYLOAD)
        });
        let answered = pinged.await.map_err(std::io::Error::other)?;
        // Not for ever: a packet may have been lost.
        let _ = timeout(
            PATIENCE,
            self.printed.wait_for(|printed| *printed >= wanted),
        )
        .await;
        answered.map(|_round_trips| ())
    }

    fn title(&mut self, scenario: &Scenario) {
        let Scenario { title, from, to } = scenario;
        self.say(&format!("\n== {title}: {} pings {to}", from.name));
    }

    fn say(&mut self, line: &str) {
        self.print(&format!("{line}\n"));
    }

    fn print(&mut self, text: &str) {
        // Who reads the packets reads this; that nobody does is told there.
        let _ = self.out.take(text);
    }
}
