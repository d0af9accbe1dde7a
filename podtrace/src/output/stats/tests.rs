use super::*;
use crate::{output::paint::stripped, stats::tests::report, text::wrap::width_of};

fn view(color: bool) -> String {
    let mut out = String::new();
    text(&mut out, &report(), color, Width::Any);
    out
}

#[test]
fn report_is_shown() {
    insta::assert_snapshot!(view(false), @r"
    7 packets, 9.2 kB in 1.5 s · 5 delivered · 1 not seen further · 1 events lost · 1 ambiguous · 1 incomplete

    top pairs by packets
      from            to                    packets   bytes
      default/mypod1  default/mypod2  udp         6   192 B
      default/mypod2  10.244.9.9      icmp        1  9.0 kB
      10.244.9.9      default/mypod2  icmp        0     0 B

    top pairs by bytes
      from            to                    packets   bytes
      default/mypod2  10.244.9.9      icmp        1  9.0 kB
      default/mypod1  default/mypod2  udp         6   192 B
      10.244.9.9      default/mypod2  icmp        0     0 B

    what became of them
      from            to                    delivered  not seen further  events lost  ambiguous  incomplete
      default/mypod1  default/mypod2  udp           4                 1            1          1           1
      default/mypod2  10.244.9.9      icmp          1                 0            0          0           0
      10.244.9.9      default/mypod2  icmp          0                 0            0          0           0

    latencies
      from            to                         count      p50  p90  p99      max
      default/mypod1  default/mypod2  udp   way      3   4.0 µs    -    -   4.0 µs
      default/mypod2  10.244.9.9      icmp  way      1   4.0 µs    -    -   4.0 µs
      10.244.9.9      default/mypod2  icmp  RTT      1  64.2 µs    -    -  64.2 µs

    from hop to hop
      from                         to                           count     p50  p90  p99     max
      default/mypod1 eth0 egress   worker1 veth1 ingress            5  1.0 µs    -    -  1.0 µs
      worker1 veth1 ingress        worker1 veth2 egress             4  1.0 µs    -    -  1.0 µs
      worker1 veth2 egress         default/mypod2 eth0 ingress      4  1.0 µs    -    -  1.0 µs
      default/mypod2 eth0 ingress  default/mypod2 eth0 socket       4  1.0 µs    -    -  1.0 µs
      not measured: 2 packets with uncertain hops

    places
      place                        packets   bytes
      worker1 veth1 ingress              7  9.2 kB
      default/mypod1 eth0 egress         7  9.2 kB
      worker1 veth2 egress               5  9.1 kB
      default/mypod2 eth0 ingress        5  9.1 kB
      default/mypod2 eth0 socket         5  9.1 kB
    ");
}

#[test]
fn tables_fit_the_terminal() {
    for width in [60, 80, 120, 200] {
        let mut out = String::new();
        text(&mut out, &report(), false, Width::Columns(width));
        assert!(out.lines().all(|line| width_of(line) <= width), "{out}");
        insta::assert_snapshot!(format!("tables_fit_{width}"), out);
    }
}

#[test]
fn colours_are_only_there_when_asked_for() {
    assert!(!view(false).contains('\u{1b}'));
    assert!(view(true).contains('\u{1b}'));
    assert_eq!(stripped(&view(true)), view(false));
}

#[test]
fn long_names_keep_begin_and_end() {
    let short = "default/web";
    assert_eq!(grid::shorten(short, 40), short);
    let name = format!("default/{}-x7k2p", "é".repeat(60));
    let shortened = grid::shorten(&name, 40);
    assert_eq!(shortened.chars().count(), 40);
    assert!(shortened.starts_with("default/é") && shortened.ends_with("-x7k2p"));
}
