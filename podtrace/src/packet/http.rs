//! Request and status lines of HTTP/1 (RFC 9112), where a TCP segment begins with one.
use crate::text::{escape::escape_bytes, write};

/// What the version of a message begins with.
const VERSION: &[u8] = b"HTTP/1.";
/// Methods that are known without the version behind them, where that was not captured.
const METHODS: [&[u8]; 9] = [
    b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"CONNECT", b"OPTIONS", b"TRACE", b"PATCH",
];
/// Upper bounds of what is kept, in bytes.
const METHOD_MAX: usize = 20;
const TARGET_MAX: usize = 256;
const HOST_MAX: usize = 255;
const REASON_MAX: usize = 64;
/// Stands for what is beyond, or was not captured.
const CUT: char = '…';

/// The first line of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Http {
    /// A request.
    Request {
        /// The method.
        method: Box<str>,
        /// The target, safe for a terminal; it ends with `…` where it is cut.
        target: Box<str>,
        /// The `Host` field, if it was captured.
        host: Option<Box<str>>,
    },
    /// A response.
    Response {
        /// The status.
        status: u16,
        /// The words behind it, safe for a terminal.
        reason: Box<str>,
    },
}

impl Http {
    /// Reads the content of a TCP segment, as far as it was captured; none if it does not begin
    /// with a message.
    #[inline]
    pub(super) fn read(content: &[u8]) -> Option<Self> {
        // Most segments end here.
        if !content.first()?.is_ascii_uppercase() {
            return None;
        }
        Self::read_message(content)
    }

    #[inline(never)]
    fn read_message(content: &[u8]) -> Option<Self> {
        match content.strip_prefix(VERSION) {
            Some([b'0'..=b'9', b' ', rest @ ..]) => response(rest),
            Some(_) => None,
            None => request(content),
        }
    }

    /// Bytes that it takes beyond its own size.
    pub(crate) fn heap_bytes(&self) -> usize {
        match self {
            Self::Request {
                method,
                target,
                host,
            } => method.len() + target.len() + host.as_deref().map_or(0, str::len),
            Self::Response { reason, .. } => reason.len(),
        }
    }

    /// Appends it in words: `HTTP GET /index.html web.default`, `HTTP 200 OK`.
    pub fn describe(&self, out: &mut String) {
        out.push_str("HTTP ");
        match self {
            Self::Request {
                method,
                target,
                host,
            } => {
                out.push_str(method);
                for part in [Some(target), host.as_ref()].into_iter().flatten() {
                    out.push(' ');
                    out.push_str(part);
                }
            }
            Self::Response { status, reason } => {
                write::number(out, *status);
                if !reason.is_empty() {
                    out.push(' ');
                    out.push_str(reason);
                }
            }
        }
    }
}

/// Reads what is behind the version of a response.
fn response(rest: &[u8]) -> Option<Http> {
    let (digits, rest) = rest.split_at_checked(3)?;
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let status = digits
        .iter()
        .fold(0, |status, digit| 10 * status + u16::from(digit - b'0'));
    let (reason, is_whole) = until(rest, b"\r\n");
    let reason = match (reason, is_whole) {
        ([b' ', reason @ ..], _) => reason,
        ([], _) => reason,
        _ => return None,
    };
    Some(Http::Response {
        status,
        reason: bounded(reason, REASON_MAX, is_whole),
    })
}

fn request(content: &[u8]) -> Option<Http> {
    let begin = &content[..content.len().min(METHOD_MAX + 1)];
    let (method, true) = until(begin, b" ") else {
        return None;
    };
    if !method.iter().all(u8::is_ascii_uppercase) {
        return None;
    }
    let rest = &content[method.len() + 1..];
    let (target, is_whole) = until(rest, b" \r\n");
    let behind = rest.get(target.len() + 1..).unwrap_or_default();
    let is_versioned = behind.starts_with(VERSION);
    // The version was not captured, or not all of it.
    let is_cut = VERSION.starts_with(behind);
    let is_path = target.first() == Some(&b'/') || target.windows(3).any(|part| part == b"://");
    if !(is_versioned || is_cut && is_path && METHODS.contains(&method)) {
        return None;
    }
    Some(Http::Request {
        method: bounded(method, METHOD_MAX, true),
        target: bounded(target, TARGET_MAX, is_whole),
        host: host(behind),
    })
}

/// The `Host` field of a request.
fn host(request: &[u8]) -> Option<Box<str>> {
    const NAME: &[u8] = b"host:";
    let lines = request.split_inclusive(|byte| *byte == b'\n').skip(1);
    let mut lines = lines.take_while(|line| !line.trim_ascii().is_empty());
    let value = lines.find_map(|line| {
        let (name, value) = line.split_at_checked(NAME.len())?;
        name.eq_ignore_ascii_case(NAME).then_some(value)
    })?;
    let host = value.trim_ascii();
    (!host.is_empty()).then(|| bounded(host, HOST_MAX, value.ends_with(b"\n")))
}

/// The bytes before the first of `ends`, and whether there is one.
fn until<'a>(bytes: &'a [u8], ends: &[u8]) -> (&'a [u8], bool) {
    let end = bytes.iter().position(|byte| ends.contains(byte));
    (&bytes[..end.unwrap_or(bytes.len())], end.is_some())
}

/// A text that is safe for a terminal, of so many bytes at most, marked where it is cut.
fn bounded(bytes: &[u8], max: usize, is_whole: bool) -> Box<str> {
    let shown = bytes.get(..max).unwrap_or(bytes);
    let mut text = escape_bytes(shown).into_owned();
    if !is_whole || shown.len() < bytes.len() {
        text.push(CUT);
    }
    text.into()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::text::sanitize::sanitize;

    fn words(content: &[u8]) -> Option<String> {
        let mut out = String::new();
        Http::read(content)?.describe(&mut out);
        Some(out)
    }

    #[test]
    fn first_lines_are_named() {
        for (content, expected) in [
            (
                &b"GET /a?b=c HTTP/1.1\r\nAccept: */*\r\nHOST: web.default:80\r\n\r\n"[..],
                "HTTP GET /a?b=c web.default:80",
            ),
            (b"PROPFIND /dav HTTP/1.0\r\n\r\n", "HTTP PROPFIND /dav"),
            (
                b"OPTIONS * HTTP/1.1\nHost:x\nHost: y\n\n",
                "HTTP OPTIONS * x",
            ),
            (b"GET / HTTP/1.1\r\n\r\nHost: body", "HTTP GET /"),
            (b"HTTP/1.1 200 OK\r\nServer: x\r\n", "HTTP 200 OK"),
            (b"HTTP/1.0 404 Not Found\r\n", "HTTP 404 Not Found"),
            (b"HTTP/1.1 204\r\n", "HTTP 204"),
            (
                b"GET /\x1b[31m\xff HTTP/1.1\r\nHost: a\x1b]0;b\x07\r\n",
                r"HTTP GET /\x1b[31m\xff a\x1b]0;b\x07",
            ),
        ] {
            assert_eq!(words(content).as_deref(), Some(expected));
        }
    }

    #[test]
    fn what_was_not_captured_is_marked() {
        for (content, expected) in [
            (&b"GET /index.ht"[..], "HTTP GET /index.ht…"),
            (b"GET /index.html HT", "HTTP GET /index.html"),
            (b"GET /index.html HTTP/1.1\r\nHo", "HTTP GET /index.html"),
            (b"GET / HTTP/1.1\r\nHost: web.de", "HTTP GET / web.de…"),
            (b"CONNECT http://web", "HTTP CONNECT http://web…"),
            (b"HTTP/1.1 503 Servi", "HTTP 503 Servi…"),
        ] {
            assert_eq!(words(content).as_deref(), Some(expected));
        }
        let long = [b"GET /", &[b'a'; 1000][..], b" HTTP/1.1\r\n"].concat();
        let shown = words(&long).unwrap();
        assert_eq!(shown.chars().count(), "HTTP GET ".len() + TARGET_MAX + 1);
    }

    #[test]
    fn other_content_is_none() {
        for content in [
            &b""[..],
            b"GET",
            b"GETTING /",
            b"GET word and more words",
            b"GET / HTTP/2.0\r\n",
            b"SELECT /x",
            b"SSH-2.0-OpenSSH",
            b"get / HTTP/1.1\r\n",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            b"HTTP/1.1 2x0 OK\r\n",
            b"HTTP/1.1 2000 OK\r\n",
            b"HTTP/2 200\r\n",
            b"\x16\x03\x01",
        ] {
            assert_eq!(words(content), None, "{}", content.escape_ascii());
        }
    }

    proptest! {
        #[test]
        fn any_bytes_give_short_printable_words(
            begin in prop::sample::select(vec!["", "GET ", "GET /", "HTTP/1.1 200", "POST / HTTP/1.1\r\nHost:"]),
            rest in prop::collection::vec(any::<u8>(), 0..2000),
        ) {
            let content = [begin.as_bytes(), &rest].concat();
            if let Some(words) = words(&content) {
                // Each byte may be an escape of four characters, or of six.
                prop_assert!(words.len() < 8 * (METHOD_MAX + TARGET_MAX + HOST_MAX));
                prop_assert_eq!(&sanitize(&words), &words);
            }
        }
    }
}
