mod fragments;
mod refused;
mod segments;
mod summary;

use podtrace_ebpf::record::Direction::{self, Egress, Ingress, Socket};

use super::*;
use crate::{
    identity::sockets::{HostProcess, SocketOwner},
    model::{
        left_out::LeftOut,
        tap::{TapCount, TapCounts},
    },
    output::paint::{GREEN, NODE, POD, stripped},
    path::{
        Outcome, RoundTrip,
        builder::tests::{event, flood, join_hops, packet, path},
    },
    text::wrap::width_of,
    world::fixture::{POD1, POD2, VETH1, world},
};

fn view(color: bool) -> Text {
    let options = TextOptions {
        color,
        epoch_ns: 1_700_000_000_000_000_000,
        ..TextOptions::default()
    };
    Text::new(options, jiff::tz::TimeZone::UTC)
}

/// The paths of a packet that arrives, of some more hops, and of one that does not arrive.
fn paths(more: &[(u64, u32, Direction)]) -> Vec<Path> {
    let arrives = [
        (1_000, 0, Egress),
        (4_100, 1, Ingress),
        (5_000, 2, Egress),
        (12_345_678, 3, Ingress),
        (12_346_678, 3, Socket),
    ];
    let hops = [&arrives, more, &[(600_000_000, 0, Egress)]].concat();
    let mut builder = join_hops("10.244.1.3", &hops);
    builder.expire(2_000_000_000);
    builder.take_finished().map(|path| *path).collect()
}

#[test]
fn path_and_summary_are_shown() {
    let world = world();
    let more = [(20_000_000, 0, Egress), (20_005_000, 3, Ingress)];
    let mut out = String::new();
    let mut view = view(false);
    for path in paths(&more) {
        view.path(&mut out, &path, &world);
    }
    let tap = TapCount {
        seen: 5,
        emitted: 3,
        lost_ring: 2,
        ..TapCount::default()
    };
    let summary = Summary {
        taps: TapCounts::from([((0, Egress), tap)]),
        packets: 2,
        outcomes: [1, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0],
        unanswered_syns: 0,
        incomplete: 1,
        unreadable: 0,
        left_out: LeftOut::default(),
        duration_ns: 1,
        not_recorded: 4,
        unseen: None,
    };
    view.summary(&mut out, &summary, &NotShown::default(), &world);
    insta::assert_snapshot!(out, @r"
    22:13:20.000001  UDP 5000 > 53 len 4  32 B   default/mypod1[container1] (10.244.1.2) -> default/mypod2[container2] (10.244.1.3)
           +0.0 µs  pod   default/mypod1  eth0   egress   container1
           +3.1 µs  node  worker1         veth1  ingress
           +4.0 µs  node  worker1         veth2  egress
          +12.3 ms  pod   default/mypod2  eth0   ingress
          +12.3 ms  pod   default/mypod2  eth0   socket   container2
                    delivered in 12.3 ms
    22:13:20.020000  UDP 5000 > 53 len 4  32 B   default/mypod1[container1] (10.244.1.2) -> default/mypod2 (10.244.1.3)
           +0.0 µs  pod   default/mypod1  eth0  egress   container1
           +5.0 µs  pod   default/mypod2  eth0  ingress
                    reached default/mypod2, no container's socket took it
    22:13:20.600000  UDP 5000 > 53 len 4  32 B   default/mypod1[container1] (10.244.1.2) -> default/mypod2 (10.244.1.3)
           +0.0 µs  pod   default/mypod1  eth0  egress   container1
                    not seen further after eth0 egress of default/mypod1

    2 packets · 1 delivered · 1 not seen further · 1 no receiver expected · 1 incomplete
    events: 5 seen = 3 emitted + 0 filtered + 2 lost · 4 not recorded
      default/mypod1 eth0 egress: 5 seen, 3 emitted, 2 lost (ring full)
    ");
}

/// The same packets in other layouts.
#[test]
fn layouts_show_more_or_less() {
    let world = world();
    let paths = paths(&[]);
    let shown = |layout| {
        let options = TextOptions {
            epoch_ns: 1_700_000_000_000_000_000,
            layout,
            time: TimeFormat::Relative,
            ..TextOptions::default()
        };
        let mut text = Text::new(options, jiff::tz::TimeZone::UTC);
        let mut out = String::new();
        let packet = packet("10.244.1.3");
        text.event(&mut out, &event(1_000, 0, Egress, &packet), 7, &world);
        text.event(&mut out, &event(4_100, 1, Ingress, &packet), 7, &world);
        for path in &paths {
            text.path(&mut out, path, &world);
        }
        out
    };
    insta::assert_snapshot!(shown(Layout::QuietHops), @r"
    +0.000000  UDP 5000 > 53 len 4  32 B   default/mypod1[container1] (10.244.1.2) -> default/mypod2[container2] (10.244.1.3)
                    delivered in 12.3 ms
    +0.599999  UDP 5000 > 53 len 4  32 B   default/mypod1[container1] (10.244.1.2) -> default/mypod2 (10.244.1.3)
           +0.0 µs  pod   default/mypod1  eth0  egress   container1
                    not seen further after eth0 egress of default/mypod1
    ");
    insta::assert_snapshot!(shown(Layout::Compact), @r"
    +0.000000  UDP 5000 > 53 len 4  32 B   default/mypod1[container1] (10.244.1.2) -> default/mypod2[container2] (10.244.1.3)  5 hops  delivered in 12.3 ms
    +0.599999  UDP 5000 > 53 len 4  32 B   default/mypod1[container1] (10.244.1.2) -> default/mypod2 (10.244.1.3)  1 hop  not seen further after eth0 egress of default/mypod1
    ");
    insta::assert_snapshot!(shown(Layout::Events), @r"
    +0.000000  #7  default/mypod1 eth0 egress  UDP 5000 > 53 len 4  10.244.1.2 -> 10.244.1.3
    +0.000003  #7  worker1 veth1 ingress  UDP 5000 > 53 len 4  10.244.1.2 -> 10.244.1.3
    ");
}

/// Only live, and only behind later ones.
#[test]
fn late_packets_are_marked() {
    let world = world();
    let shown = |now: Option<fn() -> u64>| {
        let options = TextOptions {
            now,
            layout: Layout::Compact,
            ..TextOptions::default()
        };
        let mut text = Text::new(options, jiff::tz::TimeZone::UTC);
        let mut out = String::new();
        for sent_ns in [1_000_000_000, 1_400_000_000, 1_050_000_000, 1_390_000_000] {
            let mut path = path(1);
            path.hops[0].ts_ns = sent_ns;
            text.path(&mut out, &path, &world);
        }
        let lines = out.lines().map(|line| {
            let (_, ago) = line.split_once("(sent ")?;
            Some(ago.split_once(')')?.0.to_owned())
        });
        lines.collect::<Vec<_>>()
    };
    assert_eq!(shown(None), [None, None, None, None]);
    let ago = Some("0.35 s ago".to_owned());
    assert_eq!(shown(Some(|| 1_400_000_000)), [None, None, ago, None]);
}

/// Copies for many are counted, or shown one by one.
#[test]
fn floods_are_folded() {
    let (paths, world) = flood::broadcast();
    let shown = |unfolds| {
        let options = TextOptions {
            epoch_ns: 1_700_000_000_000_000_000,
            unfolds,
            ..TextOptions::default()
        };
        let mut text = Text::new(options, jiff::tz::TimeZone::UTC);
        let mut out = String::new();
        text.path(&mut out, &paths[0], &world);
        out
    };
    insta::assert_snapshot!(shown(false));
    let unfolded = shown(true);
    assert_eq!(unfolded.lines().count(), 1 + paths[0].hops.len() + 1);
    assert!(!unfolded.contains("also seen"));
}

#[test]
fn round_trip_names_both_places_of_each_part() {
    let trip = RoundTrip {
        at: vec![(POD1, 64_200), (VETH1, 61_100), (POD2, 9_000)],
        is_whole: true,
    };
    let path = Path {
        round_trip: Some(trip),
        ..path(1)
    };
    let mut out = String::new();
    view(false).outcome(&mut out, &path, &world());
    let expected = "RTT 64.2 µs: mypod1/eth0~veth1 3.1 µs, veth1~mypod2/eth0 52.1 µs, \
                    beyond mypod2/eth0 9.0 µs";
    assert_eq!(out.lines().last().map(str::trim_start), Some(expected));
}

/// It is another time than the one that is asked for, whatever the format.
#[test]
fn round_trip_of_a_reply_that_did_not_get_back_is_not_told() {
    for (is_whole, told) in [(true, true), (false, false)] {
        let trip = RoundTrip {
            at: vec![(VETH1, 61_100)],
            is_whole,
        };
        let reply = Path {
            outcome: Outcome::NotSeenFurther,
            round_trip: Some(trip),
            ..path(1)
        };
        let (mut text, world) = (view(false), world());
        let (mut long, mut compact) = (String::new(), String::new());
        text.outcome(&mut long, &reply, &world);
        text.compact(&mut compact, &reply, &world);
        assert_eq!([long, compact].map(|out| out.contains("RTT")), [told; 2]);
    }
}

/// On terminals, lines break at words, and hops stay in columns.
#[test]
fn lines_fit_the_terminal() {
    let world = world();
    let paths = paths(&[]);
    let shown = |width, layout| {
        let options = TextOptions {
            epoch_ns: 1_700_000_000_000_000_000,
            width: Width::Columns(width),
            layout,
            ..TextOptions::default()
        };
        let mut text = Text::new(options, jiff::tz::TimeZone::UTC);
        let mut out = String::new();
        let begin = Start {
            nodes: vec!["worker1".into()],
            interfaces: 214,
            pods: 71,
            namespaces: 72,
            attach: Some("attached by TCX".into()),
            attaching: Some(12),
            source: None,
            begun_ns: None,
            agents: None,
        };
        text.start(&mut out, &begin);
        for path in &paths {
            text.path(&mut out, path, &world);
        }
        text.notice(&mut out, &"a notice of many words ".repeat(6));
        text.summary(&mut out, &Summary::default(), &NotShown::default(), &world);
        out
    };
    for width in [60, 80, 120, 200] {
        let out = [Layout::Paths, Layout::Compact].map(|layout| shown(width, layout));
        let lines = || out.iter().flat_map(|text| text.lines());
        assert!(lines().all(|line| width_of(line) <= width));
        insta::assert_snapshot!(format!("lines_fit_{width}"), out.join("\n"));
    }
}

#[test]
fn path_that_may_lack_hops_says_so() {
    let world = world();
    let vtep = "192.168.77.12".parse().unwrap();
    let mut out = String::new();
    for outcome in [
        Outcome::Delivered,
        Outcome::LeftForVtep(vtep),
        Outcome::LeftNode,
        Outcome::EventsLost,
        Outcome::GivenUp,
        Outcome::InFlight,
        Outcome::Unknown,
    ] {
        let path = Path {
            outcome,
            incomplete: true,
            ..path(1)
        };
        view(false).outcome(&mut out, &path, &world);
    }
    insta::assert_snapshot!(out, @r"
                    delivered in 4.0 µs (hops may be missing)
                    left the node for VTEP 192.168.77.12 (hops may be missing)
                    left the node (hops may be missing)
                    incomplete: events were lost, it may have gone on
                    given up, it may have gone on: too many packets under way at once
                    still under way when the trace ended
                    unknown: hops may be missing
    ");
}

#[test]
fn colours_are_only_there_when_asked_for() {
    let mut plain = String::new();
    let mut coloured = String::new();
    view(false).notice(&mut plain, "x");
    view(true).notice(&mut coloured, "x");
    assert_eq!(plain, "-- x\n");
    assert!(coloured.contains('\u{1b}'));
}

/// Also where lines break.
#[test]
fn colours_change_no_text() {
    let world = world();
    let shown = |color| {
        let options = TextOptions {
            color,
            width: Width::Columns(60),
            ..TextOptions::default()
        };
        let mut text = Text::new(options, jiff::tz::TimeZone::UTC);
        let mut out = String::new();
        for path in paths(&[(20_000_000, 0, Egress)]) {
            text.path(&mut out, &path, &world);
            text.compact(&mut out, &path, &world);
        }
        let trip = RoundTrip {
            at: vec![(POD1, 64_200), (VETH1, 61_100)],
            is_whole: true,
        };
        let reply = Path {
            round_trip: Some(trip),
            ..path(1)
        };
        text.path(&mut out, &reply, &world);
        let packet = packet("10.244.1.3");
        text.event_line(&mut out, &event(1_000, 0, Egress, &packet), 7, &world);
        let tap = TapCount {
            seen: 5,
            emitted: 3,
            lost_ring: 2,
            ..TapCount::default()
        };
        let summary = Summary {
            taps: TapCounts::from([((0, Egress), tap)]),
            outcomes: [1; 14],
            not_recorded: 4,
            ..Summary::default()
        };
        text.summary(&mut out, &summary, &NotShown::default(), &world);
        out
    };
    let coloured = shown(true);
    assert_eq!(stripped(&coloured), shown(false));
    for style in [POD, NODE, LOSS, NUMBER, GREEN] {
        assert!(coloured.contains(&style.to_string()), "{style:?}");
    }
}

#[test]
fn processes_of_the_host_are_named_as_far_as_they_are_known() {
    let process = |processes, commands: &[&str]| HostProcess {
        cgroup: "/system.slice/ssh.service".into(),
        unit: Some("ssh.service".into()),
        user: None,
        processes,
        named: (812..)
            .zip(commands)
            .map(|(pid, command)| (pid, (*command).into()))
            .collect(),
    };
    let session = HostProcess {
        unit: Some("session-3.scope".into()),
        user: Some(1000),
        ..process(Some(3), &["curl", "bash", "curl"])
    };
    let nowhere = HostProcess {
        cgroup: "/a/b".into(),
        unit: None,
        ..process(None, &[])
    };
    let mut out = String::new();
    for process in [
        process(Some(1), &["sshd"]),
        process(Some(9), &["a", "b", "c", "d"]),
        process(Some(0), &[]),
        session,
        nowhere,
    ] {
        hops::owner_text(&mut out, &SocketOwner::Process(process.into()), "");
        out.push('\n');
    }
    insta::assert_snapshot!(out, @r"
    sshd[812], alone in ssh.service
    one of 9 processes in ssh.service: a, b, c, d, …
    a process in ssh.service
    one of 3 processes in session-3.scope of user 1000: bash, curl
    a process in /a/b
    ");
}

/// Why nothing shows how a path ended.
#[test]
fn unknown_ends_have_their_reasons() {
    let mut world = world();
    world.nodes.push("worker2".into());
    let shown = |change: fn(&mut Path), world: &World| {
        let mut path = path(1);
        path.outcome = Outcome::Unknown;
        change(&mut path);
        let options = TextOptions {
            layout: Layout::Compact,
            ..TextOptions::default()
        };
        let mut out = String::new();
        Text::new(options, jiff::tz::TimeZone::UTC).path(&mut out, &path, world);
        out.split_once("unknown: ").unwrap().1.trim_end().to_owned()
    };
    let unrecorded = |path: &mut Path| path.is_unrecorded = true;
    assert_eq!(shown(unrecorded, &world), "only some packets were recorded");
    // It has passed the first node, which has recorded it.
    world.partly_recorded = [0, 1].into();
    assert_eq!(
        shown(unrecorded, &world),
        "only some packets were recorded at worker2"
    );
    let mixed = |path: &mut Path| (path.lacks_fragments, path.mixes_fragments) = (true, true);
    assert_eq!(
        shown(mixed, &world),
        "fragments of several packets with its identification were mixed at eth0 socket of \
         default/mypod2"
    );
}
