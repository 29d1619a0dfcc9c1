//! Numbers as the JSON files of a run hold them, those that are not finite included: `"NaN"`, `"inf"`,
//! `"-inf"`. JSON itself has none, and a run whose validation loss overflows is to be saved, resumed and
//! reported as any other.
//!
//! For `#[serde(with = "…")]`. `null`, which older runs hold in their place, is read as NaN.

use std::fmt;

use serde::de::{Deserializer, Error, Visitor};
use serde::ser::Serializer;
use serde::{Deserialize, Serialize};

pub fn serialize<S: Serializer>(number: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    match number.is_finite() {
        true => serializer.serialize_f64(*number),
        false => serializer.collect_str(number),
    }
}

pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    deserializer.deserialize_any(Number)
}

struct Number;

impl Visitor<'_> for Number {
    type Value = f64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number")
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<f64, E> {
        Ok(number)
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<f64, E> {
        Ok(number as f64)
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<f64, E> {
        Ok(number as f64)
    }

    fn visit_unit<E: Error>(self) -> Result<f64, E> {
        Ok(f64::NAN)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<f64, E> {
        match text {
            "NaN" => Ok(f64::NAN),
            "inf" => Ok(f64::INFINITY),
            "-inf" => Ok(f64::NEG_INFINITY),
            _ => Err(E::custom(format_args!("`{text}` is no number"))),
        }
    }
}

/// For lists that may be absent.
pub mod list {
    use super::*;

    #[derive(Serialize, Deserialize)]
    struct Element(#[serde(with = "super")] f64);

    pub fn serialize<S: Serializer>(
        numbers: &Option<Vec<f64>>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(numbers.iter().flatten().copied().map(Element))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Vec<f64>>, D::Error> {
        let elements = Option::<Vec<Element>>::deserialize(deserializer)?;
        Ok(elements.map(|elements| elements.into_iter().map(|Element(x)| x).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Serialize, Deserialize)]
    struct Held {
        #[serde(with = "super")]
        number: f64,
        #[serde(default, with = "super::list", skip_serializing_if = "Option::is_none")]
        numbers: Option<Vec<f64>>,
    }

    #[test]
    fn every_number_comes_back_to_the_bit() {
        for number in [0.1 + 0.2, 1.0, -3.0, 1e300, f64::INFINITY, f64::NEG_INFINITY, f64::NAN] {
            for numbers in [None, Some(vec![number, 0.5])] {
                let text = serde_json::to_string(&Held { number, numbers }).unwrap();
                let again: Held = serde_json::from_str(&text).unwrap();
                assert_eq!(again.number.to_bits(), number.to_bits(), "{text}");
                assert_eq!(serde_json::to_string(&again).unwrap(), text);
            }
        }
        let old: Held = serde_json::from_str(r#"{"number":null,"numbers":[null,2]}"#).unwrap();
        assert!(old.number.is_nan() && old.numbers.unwrap()[1] == 2.0);
        assert!(serde_json::from_str::<Held>(r#"{"number":"nan"}"#).is_err());
    }
}
