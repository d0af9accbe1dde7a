//! Fields: their description for JSON, the tables and the documentation.
use std::{
    borrow::Cow,
    collections::BTreeMap,
    fmt::{self, Display},
    net::IpAddr,
    sync::Arc,
};

use serde::{Serialize, Serializer};

/// One field of an object.
pub struct Field {
    /// Its name.
    pub name: &'static str,
    /// Its meaning.
    pub doc: &'static str,
    /// Whether it always has a value.
    pub required: bool,
    /// Its type.
    pub type_: Type,
}

/// The type of a field.
#[derive(Clone, Copy)]
pub enum Type {
    /// One value, which can be a column.
    Value(Kind),
    /// An object by its name.
    Object(&'static str),
    /// Texts.
    Texts,
    /// Objects of a name.
    Objects(&'static str),
    /// A number for each name.
    Numbers,
}

/// The type of a single value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A number that fits a signed one of 64 bits.
    Long,
    /// A number that fits a signed one of 32 bits.
    Int,
    /// True or false.
    Flag,
    /// UTF-8.
    Text,
    /// Nanoseconds since 1970 (UTC): a timestamp in Parquet, else a number.
    Time,
}

impl Kind {
    /// Its name in the documentation.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Long => "int64",
            Self::Int => "int32",
            Self::Flag => "boolean",
            Self::Text => "text",
            Self::Time => "timestamp (ns, UTC)",
        }
    }
}

/// A single value of a table.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Value<'a> {
    Long(i64),
    Time(u64),
    Int(i32),
    Flag(bool),
    Text(Cow<'a, str>),
}

#[cfg(feature = "cluster")]
impl Value<'_> {
    pub(crate) fn into_owned(self) -> Value<'static> {
        match self {
            Self::Long(number) => Value::Long(number),
            Self::Time(ns) => Value::Time(ns),
            Self::Int(number) => Value::Int(number),
            Self::Flag(flag) => Value::Flag(flag),
            Self::Text(text) => Value::Text(Cow::Owned(text.into_owned())),
        }
    }

    pub(crate) fn borrowed(&self) -> Value<'_> {
        match self {
            Self::Long(number) => Value::Long(*number),
            Self::Time(ns) => Value::Time(*ns),
            Self::Int(number) => Value::Int(*number),
            Self::Flag(flag) => Value::Flag(*flag),
            Self::Text(text) => Value::Text(Cow::Borrowed(text)),
        }
    }
}

/// An object of the JSON output, or a part of a table's row.
pub trait Object {
    /// Its name in the documentation.
    const NAME: &'static str;
    /// Its description.
    const DOC: &'static str;
    /// Its own fields.
    const OWN: &'static [Field];

    /// All its fields: its own, and those of the objects that are part of it.
    fn fields() -> Vec<&'static Field>;
}

/// The content of a field.
pub(crate) trait Content {
    const TYPE: Type;
    /// Whether it always has a value.
    const REQUIRED: bool = true;

    /// Whether it has no value.
    fn is_absent(&self) -> bool {
        false
    }
}

/// The content of a table's cell.
pub(crate) trait Cell {
    fn value(&self) -> Option<Value<'_>>;
}

/// Nanoseconds since 1970 (UTC).
#[derive(Clone, Copy, Serialize)]
#[serde(transparent)]
pub(crate) struct TimeNs(pub(crate) u64);

impl TimeNs {
    /// `epoch_ns`: UTC nanoseconds at CLOCK_MONOTONIC zero. The first or the last time that
    /// can be said, 1970 or 2554, where it is beyond.
    pub(crate) fn new(epoch_ns: i128, ts_ns: u64) -> Self {
        let utc_ns = epoch_ns.saturating_add(ts_ns.into()).max(0);
        Self(u64::try_from(utc_ns).unwrap_or(u64::MAX))
    }
}

/// A time as ISO 8601, formatted on demand.
#[derive(Clone, Copy)]
pub(crate) struct IsoTime(pub(crate) TimeNs);

impl Display for IsoTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_nanosecond(self.0.0.into()) {
            Ok(time) => write!(f, "{time:.9}"),
            Err(_) => Ok(()),
        }
    }
}

impl Serialize for IsoTime {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

fn long(number: u64) -> Value<'static> {
    Value::Long(i64::try_from(number).unwrap_or(i64::MAX))
}

/// Implements [`Content`] and [`Cell`] for types.
macro_rules! cells {
    ($($type:ty: $kind:ident, |$value:ident| $cell:expr;)*) => {$(
        impl Content for $type {
            const TYPE: Type = Type::Value(Kind::$kind);
        }

        impl Cell for $type {
            fn value(&self) -> Option<Value<'_>> {
                let $value = self;
                Some($cell)
            }
        }
    )*};
}

cells! {
    u64: Long, |number| long(*number);
    u32: Long, |number| Value::Long((*number).into());
    i64: Long, |number| Value::Long(*number);
    usize: Long, |number| Value::Long(i64::try_from(*number).unwrap_or(i64::MAX));
    i32: Int, |number| Value::Int(*number);
    u16: Int, |number| Value::Int((*number).into());
    u8: Int, |number| Value::Int((*number).into());
    bool: Flag, |flag| Value::Flag(*flag);
    &str: Text, |text| Value::Text(Cow::Borrowed(text));
    String: Text, |text| Value::Text(Cow::Borrowed(text));
    Arc<str>: Text, |text| Value::Text(Cow::Borrowed(text));
    IpAddr: Text, |address| Value::Text(Cow::Owned(address.to_string()));
    TimeNs: Time, |time| Value::Time(time.0);
    IsoTime: Text, |time| Value::Text(Cow::Owned(time.to_string()));
}

impl<T: Cell> Cell for Option<T> {
    fn value(&self) -> Option<Value<'_>> {
        self.as_ref()?.value()
    }
}

impl<T: Content> Content for Option<T> {
    const TYPE: Type = T::TYPE;
    const REQUIRED: bool = false;

    fn is_absent(&self) -> bool {
        self.is_none()
    }
}

impl<T: Content> Content for Box<T> {
    const TYPE: Type = T::TYPE;
    const REQUIRED: bool = T::REQUIRED;

    fn is_absent(&self) -> bool {
        (**self).is_absent()
    }
}

impl Content for &[String] {
    const TYPE: Type = Type::Texts;
}

impl Content for &[&str] {
    const TYPE: Type = Type::Texts;
}

/// Implements [`Content`] for types that are shown as text, and for lists of them.
macro_rules! texts {
    ($($type:ty),+ $(,)?) => {$(
        impl crate::field::Content for $type {
            const TYPE: crate::field::Type = crate::field::Type::Value(crate::field::Kind::Text);
        }

        impl crate::field::Content for Vec<$type> {
            const TYPE: crate::field::Type = crate::field::Type::Texts;
        }
    )+};
}
pub(crate) use texts;

impl Content for Vec<String> {
    const TYPE: Type = Type::Texts;
}

impl Content for Vec<IpAddr> {
    const TYPE: Type = Type::Texts;
}

impl Content for BTreeMap<&str, u64> {
    const TYPE: Type = Type::Numbers;
}

/// Lists of objects: always present, even if empty.
impl<T: Object> Content for Vec<T> {
    const TYPE: Type = Type::Objects(T::NAME);
}

/// Defines an object by its fields: its serialisation and its description. In parentheses
/// stand further traits to derive.
///
/// `first name: Other` and `then name: Other` put the fields of another object before and
/// behind those of this one; of several behind it, each in turn.
macro_rules! object {
    (
        $(#[doc = $about:literal])+
        $vis:vis $object:ident $(<$life:lifetime>)? as $name:literal $(($($derive:ident),+))? {
            $( first $first:ident: $before:ty, )?
            $( $(#[doc = $doc:literal])+ $field:ident: $type:ty, )*
            $( then $then:ident: $behind:ty, )*
        }
    ) => {
        $(#[doc = $about])+
        #[derive(serde::Serialize, $($($derive),+)?)]
        $vis struct $object $(<$life>)? {
            $(
                #[doc = "Fields that come before its own."]
                #[serde(flatten)]
                $vis $first: $before,
            )?
            $(
                $(#[doc = $doc])+
                #[serde(skip_serializing_if = "crate::field::Content::is_absent")]
                $vis $field: $type,
            )*
            $(
                #[doc = "Fields that come behind its own."]
                #[serde(flatten)]
                $vis $then: $behind,
            )*
        }

        impl $(<$life>)? crate::field::Object for $object $(<$life>)? {
            const NAME: &'static str = $name;
    const DOC: &'static str = concat!($($about),+);
            const OWN: &'static [crate::field::Field] = &[$(
                crate::field::Field {
                    name: stringify!($field),
                    doc: concat!($($doc),+),
                    required: <$type as crate::field::Content>::REQUIRED,
                    type_: <$type as crate::field::Content>::TYPE,
                },
            )*];

            fn fields() -> Vec<&'static crate::field::Field> {
                let parts: Vec<Vec<&'static crate::field::Field>> = vec![
                    $(<$before as crate::field::Object>::fields(),)?
                    Self::OWN.iter().collect(),
                    $(<$behind as crate::field::Object>::fields(),)*
                ];
                parts.concat()
            }
        }

        impl $(<$life>)? crate::field::Content for $object $(<$life>)? {
            const TYPE: crate::field::Type = crate::field::Type::Object($name);
        }
    };
}
pub(crate) use object;
