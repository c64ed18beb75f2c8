//! The packets of MQTT 3.1.1 that a publisher needs: encodes its own, parses the broker's.

/// CONNECT of a client that only publishes.
#[derive(Debug, Clone, Copy)]
pub struct ConnectPacket<'a> {
    pub client_id: &'a str,
    /// User name and password.
    pub login: Option<(&'a str, &'a str)>,
    /// The broker publishes this, retained and with QoS 1, when the connection breaks.
    pub will: (&'a str, &'a str),
    pub keep_alive_s: u16,
}

/// A retained message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetainedMessage {
    pub topic: String,
    /// Empty: the broker forgets the topic.
    pub payload: String,
    /// QoS 1: the broker acknowledges it. False: QoS 0.
    pub is_acknowledged: bool,
}

/// A packet of the broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BrokerPacket {
    /// CONNACK with its return code; 0 is success.
    Connected(u8),
    /// PUBACK.
    Acknowledged(u16),
    /// PINGRESP.
    Pong,
}

pub const PINGREQ: [u8; 2] = [0xc0, 0];
pub const DISCONNECT: [u8; 2] = [0xe0, 0];

/// The longest remaining length that four bytes can express is 256 MiB; ours are a few KiB.
const LENGTH_BITS: usize = 7;

impl ConnectPacket<'_> {
    pub fn encode(&self) -> Vec<u8> {
        const CLEAN_SESSION: u8 = 0x02;
        const WILL_RETAINED_WITH_QOS_1: u8 = 0x04 | 0x08 | 0x20;
        const USER_AND_PASSWORD: u8 = 0x80 | 0x40;
        const PROTOCOL_LEVEL: u8 = 4;
        let mut body = Vec::new();
        put_text(&mut body, "MQTT");
        let login = if self.login.is_some() { USER_AND_PASSWORD } else { 0 };
        body.extend([PROTOCOL_LEVEL, CLEAN_SESSION | WILL_RETAINED_WITH_QOS_1 | login]);
        body.extend(self.keep_alive_s.to_be_bytes());
        put_text(&mut body, self.client_id);
        put_text(&mut body, self.will.0);
        put_text(&mut body, self.will.1);
        if let Some((user, password)) = self.login {
            put_text(&mut body, user);
            put_text(&mut body, password);
        }
        framed(0x10, &body)
    }
}

impl RetainedMessage {
    /// PUBLISH; `packet` is used with QoS 1 only.
    pub fn encode(&self, packet: u16) -> Vec<u8> {
        const RETAINED: u8 = 0x31;
        const QOS_1: u8 = 0x02;
        let mut body = Vec::with_capacity(self.topic.len() + self.payload.len() + 4);
        put_text(&mut body, &self.topic);
        if self.is_acknowledged {
            body.extend(packet.to_be_bytes());
        }
        body.extend(self.payload.as_bytes());
        framed(if self.is_acknowledged { RETAINED | QOS_1 } else { RETAINED }, &body)
    }
}

/// At most 65,535 bytes fit; all texts are shorter (see the checks of the configuration).
fn put_text(body: &mut Vec<u8>, text: &str) {
    let text = &text.as_bytes()[..text.len().min(usize::from(u16::MAX))];
    body.extend(u16::try_from(text.len()).unwrap_or(u16::MAX).to_be_bytes());
    body.extend(text);
}

fn framed(first: u8, body: &[u8]) -> Vec<u8> {
    let mut packet = vec![first];
    let mut length = body.len();
    loop {
        let low = u8::try_from(length & 0x7f).unwrap_or(0);
        length >>= LENGTH_BITS;
        packet.push(if length > 0 { low | 0x80 } else { low });
        if length == 0 {
            break;
        }
    }
    packet.extend(body);
    packet
}

/// Parses the packet at the start of `bytes`; returns its length, too. `None`: it is incomplete.
///
/// # Errors
/// It is not one that a broker sends to a publisher. So nothing longer than four bytes is ever waited for.
pub fn parse(bytes: &[u8]) -> Result<Option<(usize, BrokerPacket)>, &'static str> {
    const NOT_MQTT: &str = "the response is not MQTT 3.1.1";
    let Some(first) = bytes.first() else { return Ok(None) };
    let length = match first {
        0x20 | 0x40 => 2,
        0xd0 => 0,
        _ => return Err(NOT_MQTT),
    };
    match bytes.get(1) {
        None => return Ok(None),
        Some(found) if *found != length => return Err(NOT_MQTT),
        Some(_) => {}
    }
    match (first, bytes.get(2..2 + usize::from(length))) {
        (_, None) => Ok(None),
        (0x20, Some([0 | 1, code])) => Ok(Some((4, BrokerPacket::Connected(*code)))),
        (0x40, Some([high, low])) => {
            Ok(Some((4, BrokerPacket::Acknowledged(u16::from_be_bytes([*high, *low])))))
        }
        (0xd0, Some([])) => Ok(Some((2, BrokerPacket::Pong))),
        _ => Err(NOT_MQTT),
    }
}

/// The meaning of a CONNACK's return code (3.2.2.3).
pub fn refusal(code: u8) -> &'static str {
    match code {
        1 => "the broker does not speak MQTT 3.1.1",
        2 => "the broker refused the client id",
        3 => "the broker is not available",
        4 => "the broker did not accept user or password",
        5 => "the broker does not allow this client: check user, password and its access rules",
        _ => "the broker refused the connection",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connect_has_protocol_flags_will_and_login_in_the_order_of_the_standard() {
        let packet =
            ConnectPacket { client_id: "hb", login: None, will: ("h/status", "offline"), keep_alive_s: 60 };
        assert_eq!(
            packet.encode(),
            b"\x10\x21\x00\x04MQTT\x04\x2e\x00\x3c\x00\x02hb\x00\x08h/status\x00\x07offline"
        );
        let bytes = ConnectPacket { login: Some(("u", "pw")), ..packet }.encode();
        assert!(bytes.ends_with(b"\x00\x01u\x00\x02pw") && bytes[9] == 0xee, "{bytes:?}");
    }

    #[test]
    fn publish_is_retained_and_has_an_id_with_qos_1_only() {
        let message = RetainedMessage { topic: "a/b".into(), payload: "{}".into(), is_acknowledged: true };
        assert_eq!(message.encode(258), b"\x33\x09\x00\x03a/b\x01\x02{}");
        let message = RetainedMessage { is_acknowledged: false, ..message };
        assert_eq!(message.encode(258), b"\x31\x07\x00\x03a/b{}");
        let long = RetainedMessage { payload: "x".repeat(200), ..message };
        assert_eq!(long.encode(1)[..4], [0x31, 0xcd, 0x01, 0x00], "205 bytes need two bytes of length");
    }

    #[test]
    fn packets_of_a_broker_are_parsed_however_they_are_split() {
        for (bytes, packet) in [
            (&[0x20, 2, 0, 0][..], BrokerPacket::Connected(0)),
            (&[0x20, 2, 0, 5], BrokerPacket::Connected(5)),
            (&[0x40, 2, 1, 2], BrokerPacket::Acknowledged(258)),
            (&[0xd0, 0], BrokerPacket::Pong),
        ] {
            assert_eq!(parse(bytes), Ok(Some((bytes.len(), packet))));
            for cut in 0..bytes.len() {
                assert_eq!(parse(&bytes[..cut]), Ok(None), "{bytes:?} {cut}");
            }
        }
    }

    #[test]
    fn anything_else_is_an_error_before_more_is_waited_for() {
        for bytes in [
            &b"HTTP/1.1 400 Bad Request"[..],
            b"220 mail.example.org ESMTP",
            &[0x20, 3],
            &[0x40, 0x80],
            &[0xd0, 1],
            &[0x20, 2, 9, 0],
            // A PUBLISH of 256 MiB: nothing was subscribed.
            &[0x30, 0xff, 0xff, 0xff, 0x7f],
            &[0x15, 3, 3],
        ] {
            parse(bytes).expect_err("not MQTT");
        }
        let mut random = fastrand::Rng::with_seed(5);
        for _ in 0..20_000 {
            let bytes: Vec<u8> = (0..random.usize(..8)).map(|_| random.u8(..)).collect();
            if let Ok(Some((length, _))) = parse(&bytes) {
                assert!(length <= bytes.len());
            }
        }
    }
}
