//! What a certificate says of its owner, and how long it is valid: what is read of X.509 here.
//!
//! webpki checks certificates; it tells no names. Whatever is odd has no name here.
use jiff::{Timestamp, civil::DateTime, tz::TimeZone};

use crate::text::sanitize::sanitize;

/// Upper bounds of what is kept.
const NAMES_MAX: usize = 32;
const NAME_MAX: usize = 512;

const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const INTEGER: u8 = 0x02;
const OCTETS: u8 = 0x04;
const BOOLEAN: u8 = 0x01;
const OID: u8 = 0x06;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
/// Kinds of strings: UTF8String, PrintableString, IA5String.
const STRINGS: [u8; 3] = [0x0c, 0x13, 0x16];
/// Version and extensions.
const VERSION: u8 = 0xa0;
const EXTENSIONS: u8 = 0xa3;
/// Kinds of alternative names: an email address, a name of DNS, a URI.
const EMAIL: u8 = 0x81;
const DNS: u8 = 0x82;
const URI: u8 = 0x86;
/// Object identifiers.
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];
const ALTERNATIVE_NAMES: &[u8] = &[0x55, 0x1d, 0x11];

/// What a certificate says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Certificate {
    /// Alternative names of DNS (in lower case), URIs and email addresses; the common name if
    /// there is none of them. As they are: not safe to show.
    pub(super) names: Vec<String>,
    pub(super) not_before: Option<Timestamp>,
    pub(super) not_after: Option<Timestamp>,
}

impl Certificate {
    /// Reads DER.
    pub(super) fn of(der: &[u8]) -> Self {
        let mut certificate = Self::default();
        // What comes before an end that should not be there counts.
        let _ = certificate.read(der);
        certificate
    }

    fn read(&mut self, der: &[u8]) -> Option<()> {
        let mut all = Der(Der(der).value(SEQUENCE)?);
        let mut body = Der(all.value(SEQUENCE)?);
        let (tag, _) = body.next()?;
        if tag == VERSION {
            body.value(INTEGER)?;
        }
        // How it is signed, and by whom.
        body.value(SEQUENCE)?;
        body.value(SEQUENCE)?;
        let mut valid = Der(body.value(SEQUENCE)?);
        let subject = body.value(SEQUENCE)?;
        self.not_before = valid.next().and_then(time);
        self.not_after = valid.next().and_then(time);
        // The key, and what may follow it.
        while let Some((tag, value)) = body.next() {
            if tag == EXTENSIONS {
                self.alternative_names(value);
            }
        }
        if self.names.is_empty() {
            self.names.extend(common_name(subject));
        }
        Some(())
    }

    fn alternative_names(&mut self, extensions: &[u8]) -> Option<()> {
        let mut extensions = Der(Der(extensions).value(SEQUENCE)?);
        while let Some(extension) = extensions.value(SEQUENCE) {
            let mut extension = Der(extension);
            if extension.value(OID)? != ALTERNATIVE_NAMES {
                continue;
            }
            let value = match extension.next()? {
                (BOOLEAN, _) => extension.value(OCTETS)?,
                (OCTETS, value) => value,
                _ => return None,
            };
            let mut names = Der(Der(value).value(SEQUENCE)?);
            while let Some((kind, name)) = names.next() {
                let Some(name) = text(name).filter(|_| self.names.len() < NAMES_MAX) else {
                    continue;
                };
                match kind {
                    DNS => self.names.push(name.to_ascii_lowercase()),
                    EMAIL | URI => self.names.push(name),
                    _ => {}
                }
            }
        }
        Some(())
    }

    /// Its first name, safe to show.
    pub(super) fn name(&self) -> String {
        match self.names.first() {
            Some(name) => sanitize(name),
            None => "a certificate without a name".to_owned(),
        }
    }

    /// Why it is not valid now, in words that follow its name.
    pub(super) fn invalid_at(&self, now: Timestamp) -> Option<String> {
        if let Some(end) = self.not_after.filter(|end| *end < now) {
            return Some(format!("has expired, at {end}"));
        }
        let begin = self.not_before.filter(|begin| *begin > now)?;
        Some(format!("is not valid before {begin}"))
    }
}

/// The last common name of a subject, which is the most special one.
fn common_name(subject: &[u8]) -> Option<String> {
    let (mut parts, mut found) = (Der(subject), None);
    while let Some(part) = parts.value(SET) {
        let mut part = Der(Der(part).value(SEQUENCE)?);
        if part.value(OID)? == COMMON_NAME {
            let (kind, name) = part.next()?;
            found = text(name).filter(|_| STRINGS.contains(&kind)).or(found);
        }
    }
    found
}

fn text(bytes: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(bytes).ok()?;
    (!text.is_empty() && text.len() <= NAME_MAX).then(|| text.to_owned())
}

/// A time in UTC.
fn time((kind, bytes): (u8, &[u8])) -> Option<Timestamp> {
    let digits = std::str::from_utf8(bytes).ok()?.strip_suffix('Z')?;
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let (year, rest) = match kind {
        UTC_TIME => {
            let (year, rest) = digits.split_at_checked(2)?;
            let year: i16 = year.parse().ok()?;
            (if year < 50 { 2000 + year } else { 1900 + year }, rest)
        }
        GENERALIZED_TIME => {
            let (year, rest) = digits.split_at_checked(4)?;
            (year.parse().ok()?, rest)
        }
        _ => return None,
    };
    if rest.len() != 10 {
        return None;
    }
    let part = |at: usize| rest.get(at..at + 2)?.parse::<i8>().ok();
    let (month, day, hour, minute, second) = (part(0)?, part(2)?, part(4)?, part(6)?, part(8)?);
    let time = DateTime::new(year, month, day, hour, minute, second, 0).ok()?;
    TimeZone::UTC.to_timestamp(time).ok()
}

/// Values of DER, one behind another.
struct Der<'a>(&'a [u8]);

impl<'a> Der<'a> {
    /// The tag and the bytes of the next value.
    fn next(&mut self) -> Option<(u8, &'a [u8])> {
        let (tag, rest) = self.0.split_first()?;
        let (first, rest) = rest.split_first()?;
        let (len, rest) = match usize::from(*first) {
            len @ 0..=0x7f => (len, rest),
            count @ 0x81..=0x84 => {
                let (bytes, rest) = rest.split_at_checked(count - 0x80)?;
                let len = bytes
                    .iter()
                    .fold(0, |len, byte| len << 8 | usize::from(*byte));
                (len, rest)
            }
            _ => return None,
        };
        let (value, rest) = rest.split_at_checked(len)?;
        self.0 = rest;
        Some((*tag, value))
    }

    /// The next value, if it is of this kind.
    fn value(&mut self, tag: u8) -> Option<&'a [u8]> {
        let (found, value) = self.next()?;
        (found == tag).then_some(value)
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{
        CertificateParams, DistinguishedName, DnType, KeyPair, SanType, date_time_ymd,
        string::Ia5String,
    };

    use super::*;

    fn made(change: impl FnOnce(&mut CertificateParams)) -> Vec<u8> {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name = DistinguishedName::new();
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        params.self_signed(&key).unwrap().der().to_vec()
    }

    fn ia5(text: &str) -> Ia5String {
        text.try_into().unwrap()
    }

    #[test]
    fn alternative_names_come_before_the_common_one() {
        let both = made(|params| {
            params.distinguished_name.push(DnType::CommonName, "alice");
            params.subject_alt_names = vec![
                SanType::DnsName(ia5("Web.Example.com")),
                SanType::IpAddress([10, 0, 0, 1].into()),
                SanType::URI(ia5("spiffe://cluster/ns/a/sa/B")),
                SanType::Rfc822Name(ia5("Alice@example.com")),
            ];
        });
        assert_eq!(
            Certificate::of(&both).names,
            [
                "web.example.com",
                "spiffe://cluster/ns/a/sa/B",
                "Alice@example.com"
            ]
        );
        let plain = made(|params| {
            params
                .distinguished_name
                .push(DnType::OrganizationName, "ops");
            params
                .distinguished_name
                .push(DnType::CommonName, "alice\u{1b}");
        });
        let plain = Certificate::of(&plain);
        assert_eq!(plain.names, ["alice\u{1b}"]);
        assert_eq!(plain.name(), "alice\u{fffd}");
        assert_eq!(Certificate::of(&made(|_| {})).names, [""; 0]);
    }

    #[test]
    fn times_are_read_in_both_forms() {
        let der = made(|params| {
            params.not_before = date_time_ymd(1999, 12, 31);
            params.not_after = date_time_ymd(2060, 2, 29);
        });
        let certificate = Certificate::of(&der);
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        assert_eq!(certificate.not_before, Some(at("1999-12-31T00:00:00Z")));
        assert_eq!(certificate.not_after, Some(at("2060-02-29T00:00:00Z")));
        assert_eq!(certificate.invalid_at(at("2026-01-01T00:00:00Z")), None);
        let words = |time| certificate.invalid_at(at(time)).unwrap();
        assert!(words("2061-01-01T00:00:00Z").contains("2060-02-29"));
        assert!(words("1999-01-01T00:00:00Z").contains("1999-12-31"));
    }

    #[test]
    fn what_is_cut_or_changed_does_no_harm() {
        let der = made(|params| {
            params.subject_alt_names = vec![SanType::DnsName(ia5("a.example.com"))];
        });
        for end in 0..der.len() {
            let _ = Certificate::of(&der[..end]);
        }
        for at in 0..der.len() {
            for value in [0, 0x7f, 0x80, 0x84, 0xff] {
                let mut changed = der.clone();
                changed[at] = value;
                let _ = Certificate::of(&changed);
            }
        }
    }
}
