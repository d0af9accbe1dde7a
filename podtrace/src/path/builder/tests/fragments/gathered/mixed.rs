//! Fragments of several packets with one identification, in the order in which their receiver gets
//! them.
use std::collections::BTreeMap;

use super::*;

/// A fragment: the number of its packet, and its bytes.
type Part = (usize, (u32, u32));

/// Feeds fragments one after the other through all taps, and the packets that a socket gets, each
/// behind a fragment of this number. Returns the paths by the number of their fragment.
fn through(
    world: &World,
    packets: &[Packet],
    parts: &[Part],
    taken: &[(usize, usize)],
) -> Vec<Path> {
    let mut events = Vec::new();
    for (number, (packet, (from, to))) in parts.iter().enumerate() {
        let part = cut(&packets[*packet], *from, *to);
        for (hop, tap) in TAPS.iter().enumerate() {
            let ts_ns = (20 * hop + 100 * number) as u64;
            events.push((Some(number), event(ts_ns, tap.0, tap.1, &part)));
        }
    }
    for (packet, behind) in taken {
        let ts_ns = (20 * TAPS.len() + 100 * behind) as u64;
        events.push((None, event(ts_ns, POD2, Socket, &packets[*packet])));
    }
    events.sort_by_key(|(_, event)| event.ts_ns);
    let (mut builder, mut of) = (Builder::new(TIMEOUT_NS), BTreeMap::new());
    for (number, event) in &events {
        let id = builder.push(event, world);
        if let Some(number) = number {
            of.entry(id).or_insert(*number);
        }
    }
    builder.expire(100 * SECOND);
    builder.expire(200 * SECOND);
    let mut paths = finished(&mut builder);
    paths.retain(|path| of.contains_key(&path.id));
    paths.sort_by_key(|path| of[&path.id]);
    paths
}

fn outcomes(world: &World, parts: &[Part], taken: &[(usize, usize)]) -> Vec<Outcome> {
    let paths = through(world, &[large(3000), large(3000)], parts, taken);
    assert_eq!(paths.len(), parts.len());
    paths.iter().map(|path| path.outcome).collect()
}

const BEGIN: (u32, u32) = (0, 2000);
const END: (u32, u32) = (2000, 3000);

/// Who puts fragments together has taken one of each for a packet: what is left waits in vain.
#[test]
fn fragment_that_completes_no_packet_is_not_delivered() {
    let mut world = world();
    let (unknown, delivered) = (Outcome::Unknown, Outcome::Delivered);
    // A second copy of the last one.
    let copy = [(0, BEGIN), (0, END), (0, END)];
    assert_eq!(
        outcomes(&world, &copy, &[(0, 1)]),
        [delivered, delivered, unknown]
    );
    // Of two packets, or of two copies of one.
    let between = [(0, BEGIN), (1, BEGIN), (0, END), (1, END)];
    let paths = through(&world, &[large(3000), large(3000)], &between, &[(0, 2)]);
    let found: Vec<_> = paths.iter().map(|path| path.outcome).collect();
    assert_eq!(found, [delivered, unknown, delivered, unknown]);
    assert!(paths[3].mixes_fragments && paths[3].ambiguous);
    leave_sockets(&mut world);
    assert_eq!(
        outcomes(&world, &copy, &[]),
        [delivered, delivered, unknown]
    );
    assert_eq!(outcomes(&world, &between, &[]), [unknown; 4]);
}

/// The socket that did not take the first did not take the others.
#[test]
fn fragments_of_a_packet_that_no_socket_took_end_alike() {
    for parts in [[(0, BEGIN), (0, END)], [(0, END), (0, BEGIN)]] {
        assert_eq!(outcomes(&world(), &parts, &[]), [Outcome::NoSocket; 2]);
    }
}

/// What Linux does with fragments in this order: which of them are of a packet that is whole, and
/// the first fragment of each such packet with the fragment that completed it.
fn put_together(parts: &[Part], totals: &[u32]) -> (Vec<bool>, Vec<(usize, usize)>) {
    let (mut whole, mut taken) = (vec![false; parts.len()], Vec::new());
    let mut queue: Vec<usize> = Vec::new();
    for (number, (_, (from, to))) in parts.iter().enumerate() {
        let known = |at: u32| {
            let mut queue = queue.iter().map(|other| parts[*other].1);
            queue.any(|(from, to)| (from..to).contains(&at))
        };
        match (*from..*to).step_by(8).filter(|at| known(*at)).count() {
            0 => queue.push(number),
            // A copy.
            all if all == (*from..*to).step_by(8).count() => continue,
            _ => queue.clear(),
        }
        let bytes: u32 = queue
            .iter()
            .map(|one| parts[*one].1.1 - parts[*one].1.0)
            .sum();
        let mut ends = queue.iter().map(|one| (parts[*one].0, parts[*one].1.1));
        let end = ends.find(|(packet, to)| *to == totals[*packet]);
        if end.is_some_and(|(_, end)| end == bytes) {
            let first = queue.iter().find(|one| parts[**one].1.0 == 0);
            taken.extend(first.map(|first| (parts[*first].0, number)));
            queue.drain(..).for_each(|one| whole[one] = true);
        }
    }
    (whole, taken)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Packets of one identification, copies of their fragments and losses, in any order.
    #[test]
    fn no_fragment_is_delivered_that_completes_no_packet(
        sizes in prop::collection::vec(2u32..5, 1..4),
        copies in prop::collection::vec(0usize..8, 0..3),
        lost in prop::collection::vec(0u8..8, 20),
        order in prop::collection::vec(0usize..6, 20),
        watched: bool,
    ) {
        let mut world = world();
        if !watched {
            leave_sockets(&mut world);
        }
        let packets: Vec<_> = sizes.iter().map(|size| large(800 * size)).collect();
        let totals: Vec<_> = sizes.iter().map(|size| 800 * size).collect();
        let part = |number, at| (number, (800 * at, 800 * at + 800));
        let cuts = |number: usize| (0..sizes[number]).map(move |at| part(number, at));
        let mut parts: Vec<Part> = (0..sizes.len()).flat_map(cuts).collect();
        for copy in copies {
            parts.extend(parts.get(copy).copied());
        }
        let mut keys = order.iter();
        let mut at = 0;
        parts.sort_by_cached_key(|_| {
            at += 2;
            at + keys.next().unwrap_or(&0)
        });
        let mut lost = lost.iter();
        parts.retain(|_| lost.next() != Some(&0));
        let (whole, taken) = put_together(&parts, &totals);
        let taken = if watched { taken } else { Vec::new() };
        let paths = through(&world, &packets, &parts, &taken);
        let is_delivered = |path: &Path| path.outcome == Outcome::Delivered;
        let delivered = paths.iter().filter(|path| is_delivered(path)).count();
        prop_assert!(delivered <= whole.iter().filter(|whole| **whole).count(), "{parts:?}");
        for (path, (is_whole, part)) in paths.iter().zip(whole.iter().zip(&parts)) {
            let claims = is_delivered(path) && !path.ambiguous;
            prop_assert!(!claims || *is_whole, "{part:?} of {parts:?}: {path:#?}");
            let is_lost = path.outcome == Outcome::NotSeenFurther;
            prop_assert!(!is_lost, "{part:?} of {parts:?}: {path:#?}");
        }
    }
}
