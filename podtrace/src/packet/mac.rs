//! MAC addresses in JSON, as the text in which they are shown.
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use super::Mac;

impl Serialize for Mac {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Mac {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let mut bytes = text.split(':').map(|byte| u8::from_str_radix(byte, 16));
        let mut mac = Self::default();
        for byte in &mut mac.0 {
            *byte = match bytes.next() {
                Some(Ok(next)) => next,
                _ => return Err(D::Error::custom("no MAC address")),
            };
        }
        Ok(mac)
    }
}
