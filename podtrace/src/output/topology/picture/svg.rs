//! The picture as SVG: nodes side by side, in each of them pods above their bridges, below those
//! what leads to other nodes.
use std::fmt::Write as _;

use unicode_width::UnicodeWidthChar as _;

use super::{Group, Link, Node, Picture, Pod, Tunnel};
use crate::text::markup::Escaped;

/// Columns and rows of the drawing, in pixels.
const NODE: i32 = 316;
const GAP: i32 = 24;
const PAD: i32 = 14;
const HEAD: i32 = 36;
const ROW: i32 = 42;
const ROW_GAP: i32 = 8;
const BAR: i32 = 30;
const HALF: i32 = (NODE - 2 * PAD - 16) / 2;
/// Where the line that joins pods to their bridge runs, and where their boxes begin.
const TRUNK: i32 = PAD + 8;
const POD: i32 = PAD + 24;
/// Where the line from bridges to what is below runs.
const DOWN: i32 = NODE - 7;
/// Columns of text that have room.
const POD_COLUMNS: usize = 32;
const HALF_COLUMNS: usize = 16;
/// The same beside a count.
const NAME_COLUMNS: usize = 11;
const NODE_COLUMNS: usize = 36;

/// What a drawing looks like: `var(--NAME)` stands for a colour.
pub(crate) const STYLE: &str = include_str!("style.css");

/// The picture for a page, which has [`STYLE`] and the colours; empty without nodes.
pub(crate) fn draw(picture: &Picture) -> String {
    if picture.nodes.is_empty() {
        return String::new();
    }
    let Drawing {
        content,
        width,
        height,
    } = Drawing::of(picture);
    format!(
        r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="-1 -1 {width} {height}" width="{width}" height="{height}" role="group" aria-label="nodes, bridges, pods and tunnels">{content}</svg>"#,
    )
}

/// All shapes, and the room that they take.
pub(super) struct Drawing {
    pub(super) content: String,
    pub(super) width: i32,
    pub(super) height: i32,
}

impl Drawing {
    pub(super) fn of(picture: &Picture) -> Self {
        let mut canvas = Canvas::default();
        for (number, node) in (0..).zip(&picture.nodes) {
            canvas.node(number * (NODE + GAP), node);
        }
        canvas.between(picture)
    }
}

/// What is drawn so far: frames lie below lines, and those below boxes.
#[derive(Default)]
struct Canvas {
    frames: String,
    lines: String,
    boxes: String,
    /// The height of the highest node.
    bottom: i32,
    /// Where tunnels and uplinks leave their nodes.
    tunnels: Vec<(i32, i32)>,
    uplinks: Vec<(i32, i32)>,
}

impl Canvas {
    fn line(&mut self, class: &str, points: &[(i32, i32)]) {
        let points: Vec<_> = points.iter().map(|(x, y)| format!("{x},{y}")).collect();
        let points = points.join(" ");
        // Writing to a String cannot fail.
        let _ = write!(
            self.lines,
            r#"<polyline class="{class}" points="{points}"/>"#
        );
    }

    fn rect(&mut self, class: &str, (x, y): (i32, i32), (width, height): (i32, i32)) {
        let _ = write!(
            self.boxes,
            r#"<rect class="{class}" x="{x}" y="{y}" width="{width}" height="{height}" rx="4"/>"#
        );
    }

    fn text(&mut self, class: &str, (x, y): (i32, i32), text: &str, columns: usize) {
        let shown = cut(text, columns);
        let _ = write!(
            self.boxes,
            r#"<text class="{class}" x="{x}" y="{y}">{}</text>"#,
            Escaped(&shown)
        );
    }

    /// Begins what a click searches for.
    fn open(&mut self, find: &str, title: &str) {
        let _ = write!(
            self.boxes,
            r#"<g class="find" data-find="{}"><title>{}</title>"#,
            Escaped(find),
            Escaped(title)
        );
    }

    /// [`Self::open`] for an interface of a node.
    fn open_link(&mut self, node: &Node, link: &Link, what: &str) {
        let find = format!("{}/{}", node.name, link.name);
        self.open(&find, &format!("{what} {}", link.name));
    }

    fn close(&mut self) {
        self.boxes.push_str("</g>");
    }

    fn node(&mut self, left: i32, node: &Node) {
        self.open(&node.name, &format!("node {}", node.name));
        self.text("node-name", (left + PAD, 23), &node.name, NODE_COLUMNS);
        self.close();
        let (mut y, mut lowest) = (HEAD, None);
        for group in &node.groups {
            y = self.group((left, y), group, node, &mut lowest);
        }
        let bar = y;
        if let Some(from) = lowest {
            let down = left + DOWN;
            let end = (left + NODE - PAD, bar + 9);
            self.line("wire", &[(down, from), (down, bar + 9), end]);
        }
        self.rect("routing", (left + PAD, bar), (NODE - 2 * PAD, 18));
        self.text("small", (left + PAD + 8, bar + 13), "routing", HALF_COLUMNS);
        let below = bar + 18 + 18;
        for (number, tunnel) in (0..).zip(&node.tunnels) {
            let y = below + number * (ROW + ROW_GAP);
            self.tunnel(left, (bar + 18, y), tunnel, node);
        }
        for (number, uplink) in (0..).zip(&node.uplinks) {
            let y = below + number * (ROW + ROW_GAP);
            self.uplink(left, (bar + 18, y), uplink, node);
        }
        let rows = node.tunnels.len().max(node.uplinks.len());
        let rows = i32::try_from(rows).unwrap_or_default();
        let height = below + rows * (ROW + ROW_GAP) + 6;
        let _ = write!(
            self.frames,
            r#"<rect class="node" x="{left}" y="0" width="{NODE}" height="{height}" rx="6"/>"#
        );
        self.bottom = self.bottom.max(height);
    }

    /// Pods and their bridge; returns where the next one begins. `lowest`: where the line down
    /// begins.
    fn group(
        &mut self,
        (left, top): (i32, i32),
        group: &Group,
        node: &Node,
        lowest: &mut Option<i32>,
    ) -> i32 {
        let mut y = top;
        let begin = y + ROW / 2;
        for pod in &group.pods {
            let middle = y + ROW / 2;
            match group.bridge {
                Some(_) => self.line("wire", &[(left + TRUNK, middle), (left + POD, middle)]),
                None => {
                    lowest.get_or_insert(middle);
                    self.line(
                        "wire",
                        &[(left + NODE - PAD, middle), (left + DOWN, middle)],
                    );
                }
            }
            self.pod((left + POD, y), pod);
            y += ROW + ROW_GAP;
        }
        if group.more > 0 {
            let words = format!("and {} more pods", group.more);
            self.text("small", (left + POD + 8, y + 12), &words, POD_COLUMNS);
            y += 20;
        }
        if let Some(bridge) = &group.bridge {
            if !group.pods.is_empty() {
                self.line("wire", &[(left + TRUNK, begin), (left + TRUNK, y + 4)]);
            }
            self.bar((left + PAD, y), bridge, node);
            lowest.get_or_insert(y + BAR / 2);
            self.line(
                "wire",
                &[(left + NODE - PAD, y + BAR / 2), (left + DOWN, y + BAR / 2)],
            );
            y += BAR + 14;
        }
        y
    }

    fn pod(&mut self, (x, y): (i32, i32), pod: &Pod) {
        let width = NODE - POD - PAD;
        let title = format!("{} {}, {} on the node", pod.name, pod.own.name, pod.veth);
        self.open(&pod.name, &title);
        self.rect(frame("pod", &pod.own), (x, y), (width, ROW));
        self.text("pod-name", (x + 8, y + 17), &pod.name, POD_COLUMNS);
        let address = pod.own.address.as_deref().unwrap_or("no address");
        let words = format!("{address} · {}", pod.veth);
        self.text("small", (x + 8, y + 33), &words, POD_COLUMNS);
        self.counts((x + width - 8, y + 33), &pod.own);
        self.close();
    }

    fn bar(&mut self, (x, y): (i32, i32), bridge: &Link, node: &Node) {
        let width = NODE - 2 * PAD;
        self.open_link(node, bridge, "bridge");
        self.rect(frame("bridge", bridge), (x, y), (width, BAR));
        let address = bridge.address.as_deref().unwrap_or_default();
        let words = format!("{}  {address}", bridge.name);
        self.text("name", (x + 8, y + 19), &words, POD_COLUMNS);
        self.counts((x + width - 8, y + 19), bridge);
        self.close();
    }

    fn tunnel(&mut self, left: i32, (bar, y): (i32, i32), tunnel: &Tunnel, node: &Node) {
        let x = left + PAD;
        let middle = x + HALF / 2;
        self.line("wire", &[(middle, bar), (middle, y)]);
        let carrier = tunnel.underlay.as_ref();
        let mut uplinks = (0..).zip(&node.uplinks);
        let carrier = uplinks.find(|(_, uplink)| Some(&uplink.name) == carrier);
        if let Some((number, _)) = carrier {
            let other = bar + 18 + number * (ROW + ROW_GAP) + ROW / 2;
            self.line(
                "tunnelled",
                &[(x + HALF, y + ROW / 2), (x + HALF + 16, other)],
            );
        }
        let words = format!("VXLAN {} · UDP {}", tunnel.vni, tunnel.port);
        self.open_link(node, &tunnel.link, "tunnel");
        self.half("tunnel", (x, y), &tunnel.link, &words);
        self.tunnels.push((middle, y + ROW));
    }

    fn uplink(&mut self, left: i32, (bar, y): (i32, i32), uplink: &Link, node: &Node) {
        let x = left + NODE - PAD - HALF;
        let middle = x + HALF / 2;
        self.line("wire", &[(middle, bar), (middle, y)]);
        let address = uplink.address.as_deref().unwrap_or("no address");
        self.open_link(node, uplink, "uplink");
        self.half("uplink", (x, y), uplink, address);
        self.uplinks.push((middle, y + ROW));
    }

    /// A box of half a node's width, which ends what is clicked.
    fn half(&mut self, class: &'static str, (x, y): (i32, i32), link: &Link, words: &str) {
        self.rect(frame(class, link), (x, y), (HALF, ROW));
        self.text("name", (x + 8, y + 17), &link.name, NAME_COLUMNS);
        self.text("small", (x + 8, y + 33), words, HALF_COLUMNS + 6);
        self.counts((x + HALF - 8, y + 17), link);
        self.close();
    }

    /// How many packets were seen, or else what is wrong there.
    fn counts(&mut self, (x, y): (i32, i32), link: &Link) {
        if link.lost > 0 {
            let words = format!("{} lost", grouped(link.lost));
            self.text("lost end", (x, y), &words, HALF_COLUMNS);
        } else if !link.is_up {
            self.text("lost end", (x, y), "down", HALF_COLUMNS);
        } else if link.has_problem {
            self.text("lost end", (x, y), "problem", HALF_COLUMNS);
        } else if link.packets > 0 {
            self.text("count end", (x, y), &grouped(link.packets), HALF_COLUMNS);
        }
    }

    /// Lines between the nodes, and the whole.
    fn between(mut self, picture: &Picture) -> Drawing {
        let count = i32::try_from(picture.nodes.len()).unwrap_or(i32::MAX / NODE / 2);
        let width = count * (NODE + GAP) - GAP;
        let mut y = self.bottom + 18;
        let mut labels = Vec::new();
        for (class, label, ends) in [
            ("tunnelled", "VXLAN", std::mem::take(&mut self.tunnels)),
            ("wire", "underlay", std::mem::take(&mut self.uplinks)),
        ] {
            if ends.is_empty() {
                continue;
            }
            for (x, from) in ends {
                self.line(class, &[(x, from), (x, y)]);
            }
            self.line(class, &[(0, y), (width, y)]);
            labels.push((label, y));
            y += 26;
        }
        for (label, y) in labels {
            self.text("small halo", (4, y - 4), label, HALF_COLUMNS);
        }
        if !picture.beyond.is_empty() {
            let vteps: Vec<_> = picture.beyond.iter().map(String::as_str).collect();
            let words = format!("to other nodes: {}", vteps.join(", "));
            let columns = usize::try_from(width / 7).unwrap_or_default();
            self.text("small", (4, y), &words, columns);
            y += 14;
        }
        let Self {
            frames,
            lines,
            boxes,
            ..
        } = self;
        Drawing {
            content: frames + &lines + &boxes,
            width: width + 2,
            height: y + 2,
        }
    }
}

/// The class of a box.
fn frame(class: &'static str, link: &Link) -> &'static str {
    match (class, link.is_bad()) {
        ("pod", true) => "pod bad",
        ("bridge", true) => "bridge bad",
        ("tunnel", true) => "tunnel bad",
        (_, true) => "uplink bad",
        (class, false) => class,
    }
}

/// A text in so many columns: its middle makes way, as names differ at their ends.
fn cut(text: &str, columns: usize) -> String {
    let width = |c: char| c.width().unwrap_or(0);
    if text.chars().map(width).sum::<usize>() <= columns {
        return text.to_owned();
    }
    let half = columns.saturating_sub(1) / 2;
    let fitting = |chars: &mut dyn Iterator<Item = char>| {
        let mut used = 0;
        let taken = chars.take_while(|c| {
            used += width(*c);
            used <= half
        });
        taken.collect::<Vec<_>>()
    };
    let begin = fitting(&mut text.chars());
    let end = fitting(&mut text.chars().rev());
    let chars = begin.into_iter().chain(['…']).chain(end.into_iter().rev());
    chars.collect()
}

/// A number with thin spaces between thousands.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push('\u{2009}');
        }
        out.push(digit);
    }
    out
}
