//! The fields of all objects, formatted for the documentation.
use std::fmt::Write as _;

use super::{
    field::{Field, Kind, Object, Type},
    hop::{HopObject, SocketObject, TranslationObject, TunnelObject},
    packet::{ClockObject, EventObject, PathObject, RoundTripObject},
    session::{
        CountObject, CountTapObject, LeftOutObject, LossObject, LossTapObject, NotShownObject,
        NoticeObject, StartObject, SummaryObject,
    },
};

/// A Markdown table for each object of the JSON output: those that are lines first.
#[must_use]
pub fn objects_text() -> String {
    let mut out = String::new();
    object::<StartObject<'_>>(&mut out);
    object::<EventObject<'_>>(&mut out);
    object::<PathObject<'_>>(&mut out);
    object::<LossObject<'_>>(&mut out);
    object::<NoticeObject<'_>>(&mut out);
    object::<SummaryObject<'_>>(&mut out);
    object::<HopObject<'_>>(&mut out);
    object::<SocketObject>(&mut out);
    object::<TunnelObject>(&mut out);
    object::<TranslationObject>(&mut out);
    object::<RoundTripObject<'_>>(&mut out);
    object::<ClockObject>(&mut out);
    object::<LossTapObject<'_>>(&mut out);
    object::<CountTapObject<'_>>(&mut out);
    object::<CountObject>(&mut out);
    object::<LeftOutObject>(&mut out);
    object::<NotShownObject>(&mut out);
    out
}

fn object<T: Object>(out: &mut String) {
    // Writing to a String cannot fail.
    let _ = write!(
        out,
        "### {}\n\n{}\n\n| field | type | | meaning |\n|---|---|---|---|\n",
        T::NAME,
        T::DOC.trim()
    );
    for field in T::PARTS.iter().copied().flatten() {
        line(out, field);
    }
    out.push('\n');
}

fn line(out: &mut String, field: &Field) {
    let link = |name: &str| format!("[{name}](#{})", name.replace(' ', "-"));
    let type_ = match field.type_ {
        Type::Value(Kind::Long | Kind::Int | Kind::Time) => "number".to_owned(),
        Type::Value(Kind::Flag) => "true or false".to_owned(),
        Type::Value(Kind::Text) => "text".to_owned(),
        Type::Object(name) => link(name),
        Type::Texts => "list of texts".to_owned(),
        Type::Objects(name) => format!("list of {}", link(name)),
        Type::Numbers => "object of numbers".to_owned(),
    };
    let presence = if field.required { "always" } else { "" };
    let _ = writeln!(
        out,
        "| `{}` | {type_} | {presence} | {} |",
        field.name,
        field.doc.trim()
    );
}
