//! Why two sides do not connect: which side, which name, and what to do.
use std::{error::Error as StdError, io, path::Path};

use rustls::{AlertDescription, CertificateError, Error};

use super::folder::Folder;
use crate::text::{escape::shown, sanitize::sanitize};

/// What one side sees of the other.
pub(super) struct Other<'a> {
    /// The other side, as `the agent`.
    pub(super) who: &'a str,
    /// The name of its certificate, if it has shown one.
    pub(super) name: Option<String>,
    /// This side, as `this console`, and the name of its certificate.
    pub(super) own: &'a str,
    pub(super) own_name: String,
    /// The folder of this side.
    pub(super) folder: &'a Path,
}

impl Other<'_> {
    /// Why there is no connection.
    pub(super) fn refused(&self, error: &io::Error) -> String {
        let Some(error) = find(error) else {
            let words = format!("{} closed the connection", self.who);
            return match self.own == "this console" {
                true => format!("{words}; its log may say why"),
                false => format!("{words} before it said who it is"),
            };
        };
        let (who, own) = (self.who, self.own);
        match error {
            Error::InvalidCertificate(error) => self.certificate(error),
            Error::NoCertificatesPresented => format!("{who} shows no certificate"),
            Error::AlertReceived(alert) => {
                let own = format!("the certificate of {own}, {}", self.own_name);
                refusal(*alert, who, &own)
            }
            Error::InvalidMessage(_) | Error::InappropriateMessage { .. } => {
                format!("{who} does not speak TLS")
            }
            Error::PeerIncompatible(_) => format!("{who} does not speak TLS 1.3 as {own} does"),
            error => format!("no TLS with {who}: {}", sanitize(&error.to_string())),
        }
    }

    fn certificate(&self, error: &CertificateError) -> String {
        use CertificateError as E;
        let whose = match &self.name {
            Some(name) => format!("the certificate of {}, {name},", self.who),
            None => format!("the certificate of {}", self.who),
        };
        let authority = shown(Folder::authority(self.folder));
        match error {
            E::UnknownIssuer | E::BadSignature => format!(
                "{whose} is not signed by an authority in {authority}\nhint: each side needs the \
                 authority of the other in its ca.crt"
            ),
            E::NotValidForNameContext {
                expected,
                presented,
            } => {
                let presented = match presented.is_empty() {
                    true => "no name".to_owned(),
                    false => sanitize(&bare(presented).join(", ")),
                };
                format!(
                    "{whose} is for {presented}, not for {}\nhint: name the agent as its certificate \
                     does, or add the name to the certificate",
                    sanitize(&expected.to_str())
                )
            }
            E::Expired | E::ExpiredContext { .. } => {
                format!(
                    "{whose} has expired\nhint: renew it there, or set the clock of {}",
                    self.own
                )
            }
            E::NotValidYet | E::NotValidYetContext { .. } => {
                format!("{whose} is not valid yet\nhint: do the clocks of both sides agree?")
            }
            E::InvalidPurpose | E::InvalidPurposeContext { .. } => format!(
                "{whose} is not for this side of a connection\nhint: agents take the extended key \
                 usage serverAuth, consoles clientAuth"
            ),
            error => format!("{whose} is not valid: {}", sanitize(&error.to_string())),
        }
    }
}

/// Names as they are, which come as `DnsName("worker1")` or `IpAddress(10.0.0.1)`.
fn bare(names: &[String]) -> Vec<&str> {
    let names = names.iter().map(|name| match name.split_once('(') {
        Some((_, inner)) => inner.trim_end_matches(')').trim_matches('"'),
        None => name,
    });
    names.collect()
}

/// What the other side says of a certificate of this one.
fn refusal(alert: AlertDescription, who: &str, own: &str) -> String {
    use AlertDescription as A;
    match alert {
        A::CertificateRequired => format!("{who} takes a certificate, and got none"),
        A::BadCertificate => format!(
            "{who} refuses {own}: it is for another name than {who} takes it for, or cannot be read"
        ),
        A::UnknownCA | A::DecryptError => format!(
            "{who} refuses {own}: it is not signed by an authority that {who} knows\nhint: each side \
             needs the authority of the other in its ca.crt"
        ),
        A::CertificateExpired => format!(
            "{who} refuses {own}: it has expired\nhint: renew it; do the clocks of both sides agree?"
        ),
        A::CertificateRevoked => format!("{who} refuses {own}: it was revoked"),
        A::UnsupportedCertificate | A::CertificateUnknown => {
            format!("{who} refuses {own}: it is not for this side of a connection")
        }
        alert => format!("{who} ended the connection: {alert:?}"),
    }
}

/// The error of TLS in a chain of causes.
fn find<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a Error> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        // The source of an io::Error that wraps another one skips the wrapped one.
        let wrapped = error
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref);
        next = match wrapped {
            Some(inner) => Some(inner),
            None => error.source(),
        };
    }
    None
}
