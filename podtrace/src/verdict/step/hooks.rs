//! The hooks that a packet passes on a step, at which firewalls may drop it.
use std::net::IpAddr;

use crate::{
    model::{
        facts::Settings,
        hook::{Hook, HookPoint, Layer},
    },
    rules::At,
};

/// Where a firewall may drop a packet on its step.
///
/// A tap at an ingress is before the hook ingress of its interface, and one at an egress behind the
/// hook egress.
#[derive(Clone, Copy, Debug)]
pub(in crate::verdict) struct Filtered<'a> {
    /// Id of the namespace.
    pub(in crate::verdict) netns: u64,
    /// The hooks, in the order of the kernel.
    hooks: &'static [HookPoint],
    /// The interfaces that IP takes it in and sends it by.
    by: Interfaces<'a>,
    /// The interfaces themselves: ports, where a bridge takes and sends it.
    frames: Interfaces<'a>,
    /// The packet of a tunnel that is filtered in its place: sender, receiver and UDP port.
    pub(in crate::verdict) outer: Option<(Option<IpAddr>, IpAddr, u16)>,
}

/// Which interfaces a packet comes in and leaves by; none if the namespace sends or keeps it.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::verdict) struct Interfaces<'a> {
    pub(in crate::verdict) input: Option<&'a str>,
    pub(in crate::verdict) output: Option<&'a str>,
}

const INGRESS: HookPoint = Hook::Ingress.of_device();
const EGRESS: HookPoint = Hook::Egress.of_device();
const PREROUTING: HookPoint = Hook::Prerouting.of_ip();
const INPUT: HookPoint = Hook::Input.of_ip();
const FORWARD: HookPoint = Hook::Forward.of_ip();
const OUTPUT: HookPoint = Hook::Output.of_ip();
const POSTROUTING: HookPoint = Hook::Postrouting.of_ip();
const BRIDGE_PREROUTING: HookPoint = Hook::Prerouting.of_bridge();
const BRIDGE_INPUT: HookPoint = Hook::Input.of_bridge();
const BRIDGE_FORWARD: HookPoint = Hook::Forward.of_bridge();
const BRIDGE_OUTPUT: HookPoint = Hook::Output.of_bridge();
const BRIDGE_POSTROUTING: HookPoint = Hook::Postrouting.of_bridge();

impl<'a> Filtered<'a> {
    fn new(at: At<'a>, hooks: &'static [HookPoint], by: Interfaces<'a>) -> Self {
        Self {
            netns: at.space.netns,
            hooks,
            by,
            frames: by,
            outer: None,
        }
    }

    /// What is for the namespace itself.
    pub(super) fn arriving(at: At<'a>) -> Self {
        let hooks = &[INGRESS, PREROUTING, INPUT];
        Self::new(at, hooks, Interfaces::of(Some(at), None))
    }

    /// What it forwards.
    pub(super) fn forwarded(at: At<'a>, to: At<'a>) -> Self {
        let hooks = &[INGRESS, PREROUTING, FORWARD, POSTROUTING, EGRESS];
        Self::new(at, hooks, Interfaces::of(Some(at), Some(to)))
    }

    /// What it sends itself.
    pub(super) fn sent(by: At<'a>) -> Self {
        let hooks = &[OUTPUT, POSTROUTING, EGRESS];
        Self::new(by, hooks, Interfaces::of(None, Some(by)))
    }

    /// What a port of a bridge hands on to the bridge itself.
    pub(super) fn handed_up(port: At<'a>, bridge: At<'a>) -> Self {
        let hooks: &[_] = match asks_ip(bridge) {
            true => &[INGRESS, BRIDGE_PREROUTING, PREROUTING, BRIDGE_INPUT],
            false => &[INGRESS, BRIDGE_PREROUTING, BRIDGE_INPUT],
        };
        let by = Interfaces::of(Some(bridge), None);
        Self {
            frames: Interfaces::of(Some(port), None),
            ..Self::new(bridge, hooks, by)
        }
    }

    /// What passes a bridge.
    pub(super) fn bridged(port: At<'a>, bridge: At<'a>, to: At<'a>) -> Self {
        let hooks: &[_] = match asks_ip(bridge) {
            true => &[
                INGRESS,
                BRIDGE_PREROUTING,
                PREROUTING,
                BRIDGE_FORWARD,
                FORWARD,
                BRIDGE_POSTROUTING,
                POSTROUTING,
                EGRESS,
            ],
            false => &[
                INGRESS,
                BRIDGE_PREROUTING,
                BRIDGE_FORWARD,
                BRIDGE_POSTROUTING,
                EGRESS,
            ],
        };
        Self {
            frames: Interfaces::of(Some(port), Some(to)),
            ..Self::new(bridge, hooks, Interfaces::of(Some(bridge), Some(bridge)))
        }
    }

    /// What a bridge sends itself.
    pub(super) fn sent_by_bridge(bridge: At<'a>, to: At<'a>) -> Self {
        let hooks = &[BRIDGE_OUTPUT, BRIDGE_POSTROUTING, EGRESS];
        let by = Interfaces::of(None, Some(bridge));
        Self {
            frames: Interfaces::of(None, Some(to)),
            ..Self::new(bridge, hooks, by)
        }
    }

    /// What was dropped in a namespace at a hook, by the interface that it was at then, and the one
    /// that it came in by.
    pub(in crate::verdict) fn dropped(
        netns: u64,
        hook: HookPoint,
        at: Option<&'a str>,
        came_by: Option<&'a str>,
    ) -> Self {
        let is_leaving = matches!(hook.hook, Hook::Output | Hook::Postrouting | Hook::Egress);
        let (input, output) = match is_leaving {
            true => (came_by, at),
            false => (at, None),
        };
        let by = Interfaces { input, output };
        Self {
            netns,
            hooks: &[],
            by,
            frames: by,
            outer: None,
        }
    }

    /// The same of the packet that a tunnel carries it in.
    pub(super) fn in_tunnel(self, outer: (Option<IpAddr>, IpAddr, u16)) -> Self {
        Self {
            outer: Some(outer),
            ..self
        }
    }

    /// Its hooks; only this one, if it is known.
    pub(in crate::verdict) fn hooks(
        &self,
        known: Option<HookPoint>,
    ) -> impl Iterator<Item = HookPoint> {
        let hooks = self.hooks.iter().copied();
        hooks.filter(move |hook| known.is_none_or(|known| known == *hook))
    }

    /// The interfaces that a hook knows.
    pub(in crate::verdict) fn interfaces(&self, hook: HookPoint) -> Interfaces<'a> {
        match hook.layer {
            Layer::Ip | Layer::Arp => self.by,
            Layer::Bridge | Layer::Device => self.frames,
        }
    }

    /// The hook that most rules stand in.
    pub(in crate::verdict) fn main_hook(&self) -> HookPoint {
        let mut hooks = self.hooks.iter().copied();
        let is_main =
            |hook: &HookPoint| matches!(hook.hook, Hook::Input | Hook::Forward | Hook::Output);
        let of_ip = hooks
            .clone()
            .find(|hook| is_main(hook) && hook.layer == Layer::Ip);
        of_ip.or_else(|| hooks.find(is_main)).unwrap_or_default()
    }
}

impl<'a> Interfaces<'a> {
    fn of(input: Option<At<'a>>, output: Option<At<'a>>) -> Self {
        let name = |at: At<'a>| at.device.name.as_str();
        Self {
            input: input.map(name),
            output: output.map(name),
        }
    }
}

/// Whether a bridge asks the hooks of IP about what passes it.
pub(super) fn asks_ip(bridge: At<'_>) -> bool {
    let Settings {
        bridge_calls_iptables,
        ..
    } = bridge.space.settings;
    bridge_calls_iptables == Some(true)
}
