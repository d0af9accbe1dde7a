//! The running kernel accepts every variant of the kernel programs, and each variant counts
//! every packet.

use std::process::Command;
use std::{env, fs};

use nix::sys::utsname::uname;
use podtrace::netns::{Ids, ids};
use podtrace::packet::{VXLAN_PORT, VxlanPorts};
use podtrace::probe::feature::has_atomics;
use podtrace::probe::{AttachMethod, Probe, ProbeOptions, feature::Without};

use super::attach_methods::each_attach_method;
use super::program::{check_frames, filter::long, options};
use super::tracer::podtrace;

const BOTH: [bool; 2] = [false, true];

const NOTHING: Without = Without {
    atomics: false,
    cast: false,
    large_values: false,
};

/// The omitted features, by name.
fn fall_backs() -> [(&'static str, Without); 5] {
    [
        ("nothing", NOTHING),
        (
            "atomics",
            Without {
                atomics: true,
                ..NOTHING
            },
        ),
        (
            "cast",
            Without {
                cast: true,
                ..NOTHING
            },
        ),
        (
            "large values",
            Without {
                large_values: true,
                ..NOTHING
            },
        ),
        (
            "any of them",
            Without {
                atomics: true,
                cast: true,
                large_values: true,
            },
        ),
    ]
}

/// Bytes of all rings, enough to make kernels before 5.16 use smaller rings on a machine with
/// fewer than 32 CPUs.
const LARGE: u32 = 64 << 20;

#[test]
fn every_variant_is_loaded() {
    for (name, without) in fall_backs() {
        for snaplen in [132, 9216] {
            for (headers_only, diagnostics) in BOTH.into_iter().flat_map(|a| BOTH.map(|b| (a, b))) {
                let options = ProbeOptions {
                    headers_only,
                    // Where it makes the largest program, and where it is alone.
                    filter: (headers_only == diagnostics).then(long).flatten(),
                    vxlan_ports: VxlanPorts::new(&[VXLAN_PORT]).unwrap(),
                    diagnostics,
                    without,
                    ..options(snaplen, LARGE)
                };
                let (mut probe, _channel) = Probe::load(&options).unwrap();
                for method in [AttachMethod::Tcx, AttachMethod::Clsact] {
                    method.open(&mut probe).unwrap();
                }
                println!(
                    "loaded: without {name}, snap length {snaplen}, headers only \
                     {headers_only}, diagnostics {diagnostics}, a filter: {}",
                    options.filter.is_some()
                );
            }
        }
    }
}

#[test]
fn every_fall_back_counts_each_packet() {
    for (name, without) in fall_backs() {
        println!("without {name}");
        check_frames(&ProbeOptions {
            without,
            ..options(160, 1 << 20)
        });
    }
}

/// The kernel's version, for example (6, 12).
pub(super) fn version() -> (u32, u32) {
    let release = uname().unwrap().release().to_string_lossy().into_owned();
    let numbers = release.split(['.', '-']);
    let mut numbers = numbers.map_while(|part| part.parse().ok());
    (numbers.next().unwrap(), numbers.next().unwrap())
}

/// Prints the features of the docs' table of kernels, as `feature: NAME: VALUE`.
#[test]
fn what_the_kernel_has_is_used() {
    // Distributions may backport it.
    let is_there = |what: &str, is_there: bool, since: (u32, u32)| {
        assert!(is_there || version() < since, "{what}");
        is_there
    };
    let feature = |name: &str, value: &str| println!("feature: {name}: {value}");
    let either = |is_first: bool, first, second| if is_first { first } else { second };

    let tcx = is_there("TCX", AttachMethod::best() == AttachMethod::Tcx, (6, 6));
    feature("attached by", either(tcx, "TCX", "clsact"));
    let (probe, _channel) = Probe::load(&options(160, LARGE)).unwrap();
    let mut limits = probe.limits().iter();
    let is_small = limits.any(|limit| limit.starts_with("each CPU's ring has 2 MiB, not "));
    let large = is_there("large values", !is_small, (5, 16));
    let largest = either(large, "256 MiB", "2 MiB");
    feature("ring of a CPU, at most", largest);
    let cookie = is_there("cookies", ids() == Ids::Cookie, (5, 14));
    let id = either(cookie, "cookie", "inode");
    feature("namespaces told apart by", id);
    let types = fs::read("/sys/kernel/btf/vmlinux").unwrap();
    let name = b"bpf_cast_to_kern_ctx\0";
    let has_cast = types.windows(name.len()).any(|bytes| bytes == name);
    let cast = is_there("the cast", has_cast, (6, 2));
    feature("a packet's interface by", either(cast, "cast", "copies"));
    let atomics = is_there("atomics", has_atomics(), (5, 12));
    feature("ring positions by", either(atomics, "exchange", "store"));
}

#[test]
fn demo_is_whole_without_what_older_kernels_lack() {
    each_attach_method(|method| {
        for without in ["", "atomics,cast,large-values,cookie"] {
            let mut command = podtrace();
            command.args(["demo", "--color", "never", "--attach", method]);
            if !without.is_empty() {
                command.args(["--without", without]);
            }
            check_demo(&mut command);
        }
    });
}

/// All pings, the request and their replies arrive, below their titles, except for one ping
/// that meets a fault, which is named. Nothing else is shown.
fn check_demo(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let stdout = String::from_utf8(output.stdout).unwrap();
    println!("{}", stdout.lines().rev().nth(1).unwrap());
    let titles: Vec<_> = stdout
        .lines()
        .filter_map(|line| match line.split_once("== ") {
            Some((_, title)) => Some(&title[..2]),
            None if line.contains(" ICMP") && line.contains(" id 2") => Some("id"),
            None if line.contains(" UDP ") => Some("UDP"),
            None => None,
        })
        .collect();
    let pings = ["id"; 4];
    let scenarios = ["1.", "2.", "3.", "3."].map(|title| [&[title][..], &pings].concat());
    // A virtual machine has no program that sets rules.
    let has_rules = ["nft", "iptables"].map(is_installed).contains(&true);
    let (service, packets): (&[_], _) = match has_rules {
        true => (&["4.", "UDP", "UDP"], "19 packets · 18 delivered"),
        false => (&["4."], "17 packets · 16 delivered"),
    };
    let fault = ["5.", "id"];
    assert_eq!(titles, [&scenarios.concat()[..], service, &fault].concat());
    let left_out = "left out: neither nft nor iptables is installed\n";
    assert_eq!(stdout.contains(left_out), !has_rules, "{stdout}");
    for way in ["DNAT 10.96.0.10:53 -> ", "SNAT 10.244.2.2:5353 -> "] {
        assert_eq!(stdout.contains(way), has_rules, "{stdout}");
    }
    for control in ["  ARP ", "ICMPv6 neighbour", "ICMPv6 router", "MLD"] {
        assert!(!stdout.contains(control), "{stdout}");
    }
    assert!(stdout.contains("dropped after flannel.1 egress of node1: "));
    assert!(
        stdout.contains("no forwarding entry for 0e:f1:00:00:00:02"),
        "{stdout}"
    );
    assert!(
        stdout.contains(&format!("\n{packets} · 1 dropped\n")),
        "{stdout}"
    );
    // The further lines of a path are indented.
    let paths = stdout.replace("\n ", "\u{b6} ");
    for what in ["echo request id 23", "echo reply id 23"] {
        let pings: Vec<_> = paths.lines().filter(|path| path.contains(what)).collect();
        assert!(
            !pings.is_empty() && pings.len().is_multiple_of(4),
            "{stdout}"
        );
        for path in pings {
            assert!(path.contains("delivered in "), "{path}");
            assert!(!path.contains("incomplete"), "{path}");
        }
    }
}

fn is_installed(program: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).any(|folder| folder.join(program).exists())
}
