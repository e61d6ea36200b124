//! How a setting that is written as text becomes a value, and the value text again.
//!
//! Every such type has one form for both ways, says what it expects, and never repeats a secret when it refuses.

use std::marker::PhantomData;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use serde::{Deserializer, Serializer, de};

/// A value with one spelling in configuration files.
pub trait Text: Sized {
    /// What a person should write, as the end of "expected …".
    const EXPECTED: &'static str;

    /// Returns the value that `text` spells.
    ///
    /// # Errors
    /// A sentence's part that says what is wrong; it never quotes a secret.
    fn from_text(text: &str) -> Result<Self, String>;

    /// Returns the spelling to show: secrets are masked in it.
    fn to_text(&self) -> String;
}

/// Implements serde's traits, `Display`, `FromStr` and `JsonSchema` for a type that is [`Text`].
macro_rules! text_type {
    ($type:ty) => {
        impl std::fmt::Display for $type {
            fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str(&$crate::shell::config::text::Text::to_text(self))
            }
        }

        impl std::str::FromStr for $type {
            type Err = String;

            fn from_str(text: &str) -> Result<Self, String> {
                <Self as $crate::shell::config::text::Text>::from_text(text)
            }
        }

        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                $crate::shell::config::text::serialize(self, serializer)
            }
        }

        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                $crate::shell::config::text::deserialize(deserializer)
            }
        }

        impl schemars::JsonSchema for $type {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($type).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({
                    "type": "string",
                    "description": <$type as $crate::shell::config::text::Text>::EXPECTED,
                })
            }
        }
    };
}
pub(super) use text_type;

pub(super) fn serialize<T: Text, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&value.to_text())
}

pub(super) fn deserialize<'de, T: Text, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    deserializer.deserialize_str(Visitor(PhantomData))
}

struct Visitor<T>(PhantomData<T>);

impl<T: Text> de::Visitor<'_> for Visitor<T> {
    type Value = T;

    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(T::EXPECTED)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        T::from_text(text).map_err(E::custom)
    }
}

impl<T: Text> Text for Option<T> {
    const EXPECTED: &'static str = T::EXPECTED;

    fn from_text(text: &str) -> Result<Self, String> {
        if text.is_empty() { Ok(None) } else { T::from_text(text).map(Some) }
    }

    fn to_text(&self) -> String {
        self.as_ref().map(T::to_text).unwrap_or_default()
    }
}

impl Text for String {
    const EXPECTED: &'static str = "text";

    fn from_text(text: &str) -> Result<Self, String> {
        Ok(text.to_owned())
    }

    fn to_text(&self) -> String {
        self.clone()
    }
}

impl Text for PathBuf {
    const EXPECTED: &'static str = "a path";

    fn from_text(text: &str) -> Result<Self, String> {
        if text.is_empty() { Err("is empty: give a path".to_owned()) } else { Ok(Self::from(text)) }
    }

    fn to_text(&self) -> String {
        Path::to_string_lossy(self).into_owned()
    }
}

impl Text for IpAddr {
    const EXPECTED: &'static str = "an IP address such as \"192.0.2.7\"";

    fn from_text(text: &str) -> Result<Self, String> {
        text.parse().map_err(|_| format!("is no IP address: write {}", Self::EXPECTED))
    }

    fn to_text(&self) -> String {
        self.to_string()
    }
}

impl Text for SocketAddr {
    const EXPECTED: &'static str = "an IP address and a port such as \"127.0.0.1:9464\"";

    fn from_text(text: &str) -> Result<Self, String> {
        text.parse().map_err(|_| format!("is no address to listen on: write {}", Self::EXPECTED))
    }

    fn to_text(&self) -> String {
        self.to_string()
    }
}
