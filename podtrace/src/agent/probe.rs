//! What a console asks an agent to send, and what came of it, as messages.
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::proto::{
    ProbeErrorKind, ProbeKind, ProbeReply, ProbeRequest, Probed as ProbedMessage, ProbedListener,
};
use crate::{
    model::probes::{Ask, ErrorKind, LADDER, Listener, Outcomes, ProbeError, Probed, Probes},
    text::sanitize::sanitize,
};

/// Upper bound of the echo requests with DF.
const LADDER_MAX: usize = 16;
/// The longest packet of IP.
const LENGTH_MAX: u32 = 65_535;

impl From<&Probes> for ProbeRequest {
    fn from(probes: &Probes) -> Self {
        let (kind, port) = match probes.ask {
            Ask::Echo => (ProbeKind::Echo, 0),
            Ask::Connect(port) => (ProbeKind::Connect, port),
            Ask::Datagram(port) => (ProbeKind::Datagram, port),
        };
        Self {
            netns: probes.netns,
            to: match probes.to {
                IpAddr::V4(address) => address.octets().to_vec(),
                IpAddr::V6(address) => address.octets().to_vec(),
            },
            kind: kind.into(),
            port: port.into(),
            echo_id: probes.echo_id.into(),
            ladder: probes.ladder.clone(),
            server: probes.server.unwrap_or_default(),
        }
    }
}

/// Takes a request over, or says what is wrong with it.
pub(super) fn probes(request: ProbeRequest) -> Result<Probes, String> {
    let ProbeRequest {
        netns,
        to,
        kind,
        port,
        echo_id,
        ladder,
        server,
    } = request;
    let to = match *to {
        [a, b, c, d] => Ipv4Addr::new(a, b, c, d).into(),
        _ => {
            let octets = <[u8; 16]>::try_from(to);
            Ipv6Addr::from(octets.map_err(|_bytes| "no address".to_owned())?).into()
        }
    };
    let port = u16::try_from(port).map_err(|_error| "a port above 65535".to_owned())?;
    let ask = match (ProbeKind::try_from(kind), port) {
        (Ok(ProbeKind::Echo), _) => Ask::Echo,
        (Ok(ProbeKind::Connect), 1..) => Ask::Connect(port),
        (Ok(ProbeKind::Datagram), 1..) => Ask::Datagram(port),
        (Ok(_), 0) => return Err("no port".to_owned()),
        (Err(_), _) => return Err("a kind of packets that this podtrace does not know".to_owned()),
    };
    let is_long = |length: &u32| *length > LENGTH_MAX;
    if ladder.len() > LADDER_MAX || ladder.iter().any(is_long) {
        return Err(format!(
            "more than {LADDER_MAX} lengths, or one above {LENGTH_MAX} bytes"
        ));
    }
    Ok(Probes {
        netns,
        to,
        ask,
        echo_id: u16::try_from(echo_id).map_err(|_error| "no identifier".to_owned())?,
        ladder,
        server: (server != 0).then_some(server),
    })
}

impl From<Outcomes> for ProbeReply {
    fn from(outcomes: Outcomes) -> Self {
        let (mut ladder, mut asked) = (None, None);
        for probed in outcomes.probed {
            let place = match probed.what == LADDER {
                true => &mut ladder,
                false => &mut asked,
            };
            *place = Some(message(probed));
        }
        let listener = outcomes.listener.map(|listener| ProbedListener {
            waiting: listener.waiting,
            overflows: listener.overflows,
        });
        Self {
            asked,
            ladder,
            listener,
        }
    }
}

/// What came of what was asked, as an agent tells it.
pub(super) fn outcomes(reply: ProbeReply, ask: Ask) -> Outcomes {
    let asked = reply.asked.map(|message| probed(ask.what(), message));
    let ladder = reply.ladder.map(|message| probed(LADDER, message));
    Outcomes {
        probed: [asked, ladder].into_iter().flatten().collect(),
        listener: reply.listener.map(|listener| Listener {
            waiting: listener.waiting,
            overflows: listener.overflows,
        }),
    }
}

fn message(probed: Probed) -> ProbedMessage {
    let kind = probed.error.as_ref().map(|error| match error.kind {
        ErrorKind::NoWay => ProbeErrorKind::NoWay,
        ErrorKind::Forbidden => ProbeErrorKind::Forbidden,
        ErrorKind::Refused => ProbeErrorKind::Refused,
        ErrorKind::Invalid => ProbeErrorKind::Invalid,
        ErrorKind::Untried => ProbeErrorKind::Untried,
        ErrorKind::Other => ProbeErrorKind::Other,
    });
    ProbedMessage {
        tried: probed.tried,
        answered: probed.answered,
        lengths: probed.lengths,
        unsent: probed.unsent,
        error: probed.error.map(|error| error.words).unwrap_or_default(),
        error_kind: kind.unwrap_or_default().into(),
    }
}

fn probed(what: &'static str, message: ProbedMessage) -> Probed {
    let kind = match ProbeErrorKind::try_from(message.error_kind) {
        Ok(ProbeErrorKind::NoWay) => ErrorKind::NoWay,
        Ok(ProbeErrorKind::Forbidden) => ErrorKind::Forbidden,
        Ok(ProbeErrorKind::Refused) => ErrorKind::Refused,
        Ok(ProbeErrorKind::Invalid) => ErrorKind::Invalid,
        Ok(ProbeErrorKind::Untried) => ErrorKind::Untried,
        Ok(ProbeErrorKind::Other) | Err(_) => ErrorKind::Other,
    };
    let mut lengths = message.lengths;
    lengths.truncate(LADDER_MAX);
    let mut unsent = message.unsent;
    unsent.truncate(LADDER_MAX);
    Probed {
        what,
        tried: message.tried,
        answered: message.answered.min(message.tried),
        lengths,
        unsent,
        error: (!message.error.is_empty()).then(|| ProbeError {
            kind,
            words: sanitize(&message.error),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full(to: &str, ask: Ask) -> Probes {
        Probes {
            netns: 4_026_531_840,
            to: to.parse().unwrap(),
            ask,
            echo_id: 7,
            ladder: vec![1280, 1500],
            server: Some(3),
        }
    }

    #[test]
    fn requests_read_as_they_were_sent() {
        for sent in [
            full("10.244.2.2", Ask::Echo),
            full("fd00::1", Ask::Connect(80)),
            full("10.0.0.1", Ask::Datagram(53)),
        ] {
            assert_eq!(probes(ProbeRequest::from(&sent)), Ok(sent));
        }
    }

    #[test]
    fn nonsense_is_refused() {
        let wrong = |change: fn(&mut ProbeRequest)| {
            let mut request = ProbeRequest::from(&full("10.0.0.1", Ask::Connect(80)));
            change(&mut request);
            probes(request).unwrap_err()
        };
        wrong(|request| request.to = vec![1, 2, 3]);
        wrong(|request| request.kind = 9);
        wrong(|request| request.port = 0);
        wrong(|request| request.port = 65_536);
        wrong(|request| request.echo_id = 65_536);
        wrong(|request| request.ladder = vec![1280; LADDER_MAX + 1]);
        wrong(|request| request.ladder = vec![65_536]);
    }

    #[test]
    fn outcomes_read_as_they_were_sent() {
        let of = |what, error: Option<ErrorKind>| Probed {
            what,
            tried: 3,
            answered: 2,
            lengths: vec![1280, 1420],
            unsent: vec![1500],
            error: error.map(|kind| ProbeError {
                kind,
                words: "Message too long".to_owned(),
            }),
        };
        for kind in [
            None,
            Some(ErrorKind::NoWay),
            Some(ErrorKind::Forbidden),
            Some(ErrorKind::Refused),
            Some(ErrorKind::Invalid),
            Some(ErrorKind::Untried),
            Some(ErrorKind::Other),
        ] {
            let sent = Outcomes {
                probed: vec![of("ping", kind), of(LADDER, kind)],
                listener: Some(Listener {
                    waiting: 3,
                    overflows: 4,
                }),
            };
            assert_eq!(outcomes(sent.clone().into(), Ask::Echo), sent);
        }
    }
}
