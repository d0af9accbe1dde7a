use podtrace_ebpf::record::Direction;
use proptest::prelude::*;

use super::*;
use crate::{
    model::pod::{Container, Pod},
    packet::Ends,
    path::{
        Outcome, Translation,
        builder::tests,
        refusal::{Reason, Refusal},
    },
    select::{labels::Labels, register::Register},
    text::glob::Glob,
    update::Update,
    world::fixture::{VETH2, world},
};

/// From container1 of default/mypod1 on worker1, to UDP port 53 of default/mypod2 there.
fn path() -> Path {
    tests::path(7)
}

fn full(text: &str) -> FullName {
    text.parse().unwrap()
}

fn pod(text: &str) -> Term {
    Term::Pod(full(text))
}

fn is_met(term: &Term, path: &Path) -> bool {
    let selector = Selector::new([(false, term.clone())]).unwrap();
    selector.matches(path, &world())
}

/// Terms that are true of the path, and others.
fn terms() -> (Vec<Term>, Vec<Term>) {
    let peer = |text: &str| text.parse().unwrap();
    let between = |one: &str, other: &str| Term::Between(peer(one), peer(other));
    let ip = |text: &str| Term::Ip(text.parse().unwrap());
    let protocol = |text: &str| Term::Protocol(text.parse().unwrap());
    let glob = Glob::new;
    let yes = vec![
        pod("mypod1"),
        pod("default/mypod2"),
        pod("def*/my?od1"),
        Term::FromPod(full("mypod1")),
        Term::ToPod(full("default/*2")),
        between("mypod1", "mypod2"),
        between("default/mypod2", "*1"),
        between("10.244.1.3", "mypod1"),
        Term::Touches(peer("10.244.1.3")),
        Term::Touches(Peer::Named(full("mypod2"))),
        Term::Touches(Peer::Named(full("default/mypod1"))),
        Term::Namespace(glob("default")),
        Term::Container(glob("container1")),
        Term::Container(glob("*2")),
        ip("10.244.1.2"),
        ip("10.244.0.0/16"),
        Term::Port(5000),
        Term::Port(53),
        protocol("UDP"),
        protocol("17"),
        Term::Node(glob("worker1")),
        Term::Outcome("delivered"),
        Term::MinLatency(4000),
    ];
    let no = vec![
        pod("mypod"),
        pod("kube-system/mypod1"),
        Term::FromPod(full("mypod2")),
        Term::ToPod(full("mypod1")),
        between("mypod1", "mypod1"),
        between("10.244.1.3", "mypod2"),
        Term::Touches(peer("10.244.1.4")),
        Term::Touches(Peer::Named(full("worker1"))),
        Term::Namespace(glob("kube-*")),
        Term::Container(glob("container3")),
        Term::Service(full("*")),
        ip("10.245.0.0/16"),
        ip("::/0"),
        Term::Port(80),
        protocol("tcp"),
        protocol("arp"),
        Term::Node(glob("worker2")),
        Term::Outcome("refused"),
        Term::MinLatency(4001),
    ];
    (yes, no)
}

#[test]
fn each_term_is_met_or_not() {
    let (path, (yes, no)) = (path(), terms());
    for term in yes {
        assert!(is_met(&term, &path), "{term:?}");
    }
    for term in no {
        assert!(!is_met(&term, &path), "{term:?}");
    }
}

#[test]
fn pod_is_touched_where_its_interfaces_are_passed_but_not_by_a_copy_for_others() {
    let mut path = path();
    path.packet.network = crate::packet::Network::Other;
    path.hops.retain(|hop| hop.interface == VETH2);
    assert_eq!(path.hops.len(), 1);
    assert!(is_met(&pod("mypod2"), &path) && !is_met(&pod("mypod1"), &path));
    assert!(!is_met(&Term::ToPod(full("mypod1")), &path));
    path.hops[0].aside = true;
    assert!(!is_met(&pod("mypod2"), &path));
}

#[test]
fn addresses_and_ports_are_those_before_and_behind_a_translation() {
    let mut path = path();
    let before = path.packet.ends().unwrap();
    let after = Ends {
        destination: "10.244.9.9".parse().unwrap(),
        ports: Some((5000, 5353)),
        ..before
    };
    path.translations = vec![Translation {
        hop: 1,
        before,
        after,
    }];
    for term in [
        Term::Ip("10.244.9.9".parse().unwrap()),
        Term::Ip("10.244.1.3".parse().unwrap()),
        Term::Port(53),
        Term::Port(5353),
    ] {
        assert!(is_met(&term, &path), "{term:?}");
    }
}

#[test]
fn outcomes_have_the_names_of_the_summary() {
    let mut path = path();
    path.outcome = Outcome::NotSeenFurther;
    assert!(is_met(&Term::Outcome("not_seen_further"), &path));
    // Who receives a packet may refuse it.
    path.outcome = Outcome::Delivered;
    path.refusal = Some(Box::new(Refusal {
        packet: 2,
        by: "10.244.1.3".parse().unwrap(),
        at: None,
        ts_ns: 0,
        reason: Reason::Reset,
        carried: None,
        hops: 2,
    }));
    for name in ["delivered", "refused"] {
        assert!(is_met(&Term::Outcome(name), &path), "{name}");
    }
    assert!(
        path.hops
            .iter()
            .any(|hop| hop.direction == Direction::Socket)
    );
}

#[test]
fn labels_are_those_of_the_pods_that_it_touches() {
    let mut world = world();
    let named = |name: &str, app: &str| Pod {
        namespace: "default".into(),
        name: name.into(),
        labels: [("app".to_owned(), app.to_owned())].into(),
        ..Pod::default()
    };
    let labels = |text: &str| {
        let labels: Labels = text.parse().unwrap();
        Selector::new([(false, Term::Labels(labels))]).unwrap()
    };
    let pods = [named("mypod2", "web"), named("other", "db")];
    world.identities.set_pods(0, &pods, 0);
    for (text, is_met) in [
        ("app=web", true),
        ("app=db", false),
        ("app in (web, db)", true),
        // The other pod has none.
        ("!app", true),
        ("app=web,!app", false),
    ] {
        assert_eq!(labels(text).matches(&path(), &world), is_met, "{text}");
    }
}

#[test]
fn names_that_nothing_has_are_told_with_near_ones() {
    let selector = Selector::new([
        (false, pod("web1")),
        (true, pod("default/*")),
        (false, Term::Container(Glob::new("c"))),
        (false, Term::Service(full("shop/web"))),
        (false, Term::Port(80)),
    ]);
    let mut register = Register::new(&selector.unwrap());
    let missing = register.missing().unwrap();
    assert_eq!(
        missing,
        "pod web1, pod default/*, container c, Service shop/web"
    );
    assert_eq!(
        register.options(),
        "--pod web1, --pod default/*, --container c, --service shop/web: "
    );
    assert_eq!(register.hint().unwrap(), "no pod is known");
    let names = ["web2", "a\u{1b}", "client"];
    let pods = names.map(|name| Pod {
        namespace: "default".into(),
        name: name.into(),
        containers: vec![Container {
            name: "c".into(),
            ..Container::default()
        }],
        ..Pod::default()
    });
    register.learn(&Update::Pods {
        runtime: 0,
        pods: pods.to_vec(),
        ts_ns: 0,
    });
    assert_eq!(register.missing().unwrap(), "pod web1, Service shop/web");
    let hint = register.hint().unwrap();
    assert_eq!(
        hint,
        "there is default/web2, default/a\u{fffd}, default/client"
    );
    assert!(!register.is_complete());
}

/// Whoever reads that a name is wrong has to find it on the line.
#[test]
fn option_with_a_wrong_name_is_told() {
    let peers = || (Peer::Pod(full("b")), "10.0.0.1".parse().unwrap());
    for (term, options) in [
        (pod("a"), "--pod a: "),
        (Term::FromPod(full("a")), "--from-pod a: "),
        (Term::ToPod(full("x/a")), "--to-pod x/a: "),
        (Term::Between(peers().0, peers().1), "--between b: "),
        (Term::Namespace(Glob::new("n")), "--namespace n: "),
        (Term::Labels("a=b".parse().unwrap()), "--selector a=b: "),
        (Term::Container(Glob::new("c")), "--container c: "),
        (Term::Service(full("s")), "--service s: "),
        (Term::Node(Glob::new("n")), "--node n: "),
        (Term::Between(peers().0, peers().0), "--between b: "),
        (Term::Touches(peers().0), ""),
        (Term::Port(80), ""),
    ] {
        let selector = Selector::new([(false, term)]).unwrap();
        let register = Register::new(&selector);
        assert_eq!(register.options(), options);
        // However often it is sought, it is told once.
        let missing = register.missing().unwrap_or_default();
        assert!(missing.matches("pod b").count() <= 1, "{missing}");
    }
}

proptest! {
    /// Terms of one kind are joined by or, kinds by and, and none of the negated ones may be
    /// true, in whatever order they come.
    #[test]
    fn verdict_is_the_same_in_any_order(
        picked in prop::collection::vec((any::<prop::sample::Index>(), any::<bool>()), 1..8),
        order in any::<prop::sample::Index>(),
    ) {
        let (path, (yes, no)) = (path(), terms());
        let all: Vec<_> = yes.into_iter().chain(no).collect();
        let mut given: Vec<_> = picked
            .iter()
            .map(|(index, is_negated)| (*is_negated, index.get(&all).clone()))
            .collect();
        let world = world();
        let verdict = |given: &[(bool, Term)]| {
            Selector::new(given.iter().cloned()).unwrap().matches(&path, &world)
        };
        let expected = given.iter().all(|(is_negated, term)| {
            let mut alike = given.iter().filter(|(other_negated, other)| {
                other_negated == is_negated && discriminant(other) == discriminant(term)
            });
            alike.any(|(_, other)| is_met(other, &path)) != *is_negated
        });
        prop_assert_eq!(verdict(&given), expected);
        let middle = order.index(given.len());
        given.rotate_left(middle);
        prop_assert_eq!(verdict(&given), expected);
        given.reverse();
        prop_assert_eq!(verdict(&given), expected);
        // Of one kind: not (a or b) is not a and not b.
        let kind = discriminant(&given[0].1);
        given.retain(|(_, term)| discriminant(term) == kind);
        let with = |is_negated: bool| {
            let terms: Vec<_> = given.iter().map(|(_, term)| (is_negated, term.clone())).collect();
            verdict(&terms)
        };
        prop_assert_eq!(with(true), !with(false));
    }
}

#[test]
fn peer_may_be_a_pod_a_service_or_a_node() {
    let named = |text: &str| Peer::Named(full(text));
    for (name, hint) in [
        ("web2", None),
        ("worker1", None),
        ("default/web2", None),
        ("wrker1", Some("there is worker1, default/web2")),
    ] {
        let selector = Selector::of_pair(&named(name), &"10.0.0.1".parse().unwrap());
        let mut register = Register::new(&selector.unwrap());
        register.learn_node("worker1");
        let pod = Pod {
            namespace: "default".into(),
            name: "web2".into(),
            ..Pod::default()
        };
        register.learn(&Update::Pods {
            runtime: 0,
            pods: vec![pod],
            ts_ns: 0,
        });
        let found = register.missing().and_then(|_| register.hint());
        assert_eq!(found.as_deref(), hint, "{name}");
    }
    let (path, world) = (path(), world());
    assert!(leads(&path, &named("mypod1"), &named("mypod2"), &world));
    assert!(!leads(&path, &named("mypod2"), &named("mypod1"), &world));
    assert!(sends(&path, &named("mypod1"), &world) && !sends(&path, &named("mypod2"), &world));
}
