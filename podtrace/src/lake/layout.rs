//! Where the files of a lake are, and what their names say.
use std::{collections::BTreeSet, fmt};

use object_store::path::Path;

/// What the metadata of each file say in `podtrace.lake`: it changes when the layout does, or the
/// meaning of a column.
pub(super) const VERSION: &str = "1";

/// Nanoseconds of an hour.
const HOUR_NS: u64 = 3_600_000_000_000;

/// How the name of a file that was put together begins.
const COMPACT: &str = "compact-";

/// The tables that have files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Table {
    Hops,
    Paths,
}

impl Table {
    pub(super) const ALL: [Self; 2] = [Self::Hops, Self::Paths];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Hops => "hops",
            Self::Paths => "paths",
        }
    }
}

/// An hour since 1970 (UTC).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Hour(u64);

impl Hour {
    /// The hour of a time in nanoseconds since 1970.
    pub(super) fn of(ns: u64) -> Self {
        Self(ns / HOUR_NS)
    }

    /// When it is over, in nanoseconds since 1970.
    pub(super) fn end_ns(self) -> u64 {
        (self.0 + 1).saturating_mul(HOUR_NS)
    }

    /// The hour that so many hours before this one.
    pub(super) fn before(self, hours: u64) -> Self {
        Self(self.0.saturating_sub(hours))
    }

    fn read(date: &str, hour: &str) -> Option<Self> {
        let date: jiff::civil::Date = date.parse().ok()?;
        let hour: i8 = hour.parse().ok().filter(|hour| (0..24).contains(hour))?;
        let time = date.at(hour, 0, 0, 0).to_zoned(jiff::tz::TimeZone::UTC);
        let seconds = time.ok()?.timestamp().as_second();
        Some(Self(u64::try_from(seconds).ok()? / 3600))
    }
}

impl fmt::Display for Hour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = i64::try_from(self.0 * 3600).unwrap_or(i64::MAX);
        let time = jiff::Timestamp::from_second(seconds).unwrap_or(jiff::Timestamp::MAX);
        write!(f, "{}", time.strftime("%Y-%m-%d %H"))
    }
}

/// A folder of files.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Partition {
    pub(super) table: Table,
    pub(super) hour: Hour,
    pub(super) pool: String,
}

impl Partition {
    /// The folder that a file is in, and its name there; none for what belongs to no lake.
    pub(super) fn of(path: &Path) -> Option<(Self, String)> {
        let parts: Vec<_> = path.parts().collect();
        let [table, date, hour, pool, name] = &parts[..] else {
            return None;
        };
        let table = Table::ALL
            .into_iter()
            .find(|known| known.name() == table.as_ref())?;
        let date = date.as_ref().strip_prefix("date=")?;
        let hour = hour.as_ref().strip_prefix("hour=")?;
        let partition = Self {
            table,
            hour: Hour::read(date, hour)?,
            pool: pool.as_ref().strip_prefix("pool=")?.into(),
        };
        Some((partition, name.as_ref().into()))
    }

    pub(super) fn path(&self) -> Path {
        let hour = self.hour.to_string();
        let (date, hour) = hour.split_once(' ').unwrap_or((&hour, ""));
        Path::from_iter([
            self.table.name(),
            &format!("date={date}"),
            &format!("hour={hour}"),
            &format!("pool={}", self.pool),
        ])
    }

    pub(super) fn file(&self, name: &str) -> Path {
        self.path().join(name)
    }
}

/// The name of a file that was made of recordings: which, and from when to when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Name {
    /// The recordings, and what of them was asked for.
    pub(super) source: String,
    pub(super) first_ns: u64,
    pub(super) last_ns: u64,
}

impl Name {
    fn read(name: &str) -> Option<Self> {
        let mut parts = name.strip_suffix(".parquet")?.split('-');
        let (source, first, last) = (parts.next()?, parts.next()?, parts.next()?);
        if parts.next().is_some() || format!("{source}-").as_str() == COMPACT {
            return None;
        }
        Some(Self {
            source: source.into(),
            first_ns: first.parse().ok()?,
            last_ns: last.parse().ok()?,
        })
    }

    /// When its first packet begins, if the name of a file says so.
    pub(super) fn first_ns_of(name: &str) -> Option<u64> {
        Self::read(name).map(|name| name.first_ns)
    }

    /// Whether all that it has is in another file of the same recordings.
    fn is_within(&self, other: &Self) -> bool {
        self != other
            && self.source == other.source
            && other.first_ns <= self.first_ns
            && self.last_ns <= other.last_ns
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (first, last) = (self.first_ns, self.last_ns);
        write!(f, "{}-{first:020}-{last:020}.parquet", self.source)
    }
}

/// What says which files another one was put together of.
#[derive(Debug, Default, serde::Deserialize, serde::Serialize)]
pub(super) struct Replaces {
    pub(super) replaces: BTreeSet<String>,
    /// The time of its first row and of its last one; none in those of an earlier version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) times_ns: Option<[u64; 2]>,
}

/// The names of a file that takes the place of others, and of what says so.
pub(super) fn compacted(replaced: &BTreeSet<String>) -> (String, String) {
    let names: Vec<_> = replaced.iter().map(String::as_str).collect();
    let hash = digest(&names.join("\n"));
    (
        format!("{COMPACT}{hash}.parquet"),
        format!("{COMPACT}{hash}.json"),
    )
}

/// The file that a name of [`compacted`] is about.
pub(super) fn replacement(marker: &str) -> Option<String> {
    let hash = marker.strip_prefix(COMPACT)?.strip_suffix(".json")?;
    Some(format!("{COMPACT}{hash}.parquet"))
}

/// What a folder's files have in common.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Overlap<'a> {
    /// Files whose rows another one has, too.
    pub(super) hidden: BTreeSet<&'a str>,
    /// Files that were put together with others before their recording went on: the rows of one are
    /// in what they were put together into, and in a later file of the same recording.
    pub(super) outdated: BTreeSet<&'a str>,
}

/// What of a folder's files others have, too. `markers`: the files that say what they replace, with
/// that; one whose file is not there says nothing.
pub(super) fn overlap<'a>(
    files: &BTreeSet<&'a str>,
    markers: &'a [(String, Replaces)],
) -> Overlap<'a> {
    let valid = markers
        .iter()
        .filter(|(name, _)| replacement(name).is_some_and(|file| files.contains(&*file)));
    let replaced: BTreeSet<&str> = valid
        .flat_map(|(_, of)| of.replaces.iter().map(String::as_str))
        .collect();
    let read = |name: &&str| Name::read(name);
    let beside: Vec<Name> = files.difference(&replaced).filter_map(read).collect();
    let inside: Vec<Name> = replaced.iter().filter_map(read).collect();
    let is_within = |name: &str, others: &[Name]| {
        let name = Name::read(name);
        name.is_some_and(|name| others.iter().any(|other| name.is_within(other)))
    };
    let is_hidden = |name: &&str| {
        replaced.contains(name) || is_within(name, &beside) || is_within(name, &inside)
    };
    let is_outdated = |name: &&str| is_within(name, &beside);
    Overlap {
        hidden: files.iter().copied().filter(is_hidden).collect(),
        outdated: replaced.iter().copied().filter(is_outdated).collect(),
    }
}

/// A short name for a text.
pub(super) fn digest(text: &str) -> String {
    use sha2::{Digest as _, Sha256};
    let hash = Sha256::digest(text.as_bytes());
    hash.iter()
        .take(8)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names<'a>(files: &[&'a str]) -> BTreeSet<&'a str> {
        files.iter().copied().collect()
    }

    #[test]
    fn folders_are_read_back() {
        let partition = Partition {
            table: Table::Paths,
            hour: Hour::of(1_796_000_000_000_000_000),
            pool: "workers".into(),
        };
        let file = partition.file("a.parquet");
        insta::assert_snapshot!(file, @"paths/date=2026-11-30/hour=00/pool=workers/a.parquet");
        assert_eq!(
            Partition::of(&file),
            Some((partition, "a.parquet".to_string()))
        );
        for other in ["a.parquet", "hops/date=2026-11-30/hour=24/pool=a/b.parquet"] {
            assert_eq!(Partition::of(&Path::from(other)), None, "{other}");
        }
    }

    #[test]
    fn a_recording_that_went_on_hides_what_was_written_before() {
        let [short, long, later, other] = [
            "a-00000000000000000010-00000000000000000020.parquet",
            "a-00000000000000000010-00000000000000000030.parquet",
            "a-00000000000000000025-00000000000000000040.parquet",
            "b-00000000000000000010-00000000000000000020.parquet",
        ];
        let files = names(&[short, long, later, other]);
        let found = overlap(&files, &[]);
        assert_eq!(found.hidden, names(&[short]));
        assert_eq!(found.outdated, names(&[]));
    }

    #[test]
    fn a_recording_that_went_on_outdates_what_was_put_together_before() {
        let [short, long, longest, other] = [
            "a-00000000000000000010-00000000000000000020.parquet",
            "a-00000000000000000010-00000000000000000030.parquet",
            "a-00000000000000000010-00000000000000000040.parquet",
            "b-00000000000000000010-00000000000000000020.parquet",
        ];
        let replaces = [short, other].map(str::to_string).into();
        let (file, marker) = compacted(&replaces);
        let markers = [(
            marker,
            Replaces {
                replaces,
                ..Replaces::default()
            },
        )];
        let found = overlap(&names(&[&file, short, long]), &markers).outdated;
        assert_eq!(found, names(&[short]));
        let both = names(&[&file, long, longest]);
        let found = overlap(&both, &markers);
        assert_eq!(found.hidden, names(&[long]));
        assert_eq!(found.outdated, names(&[short]));
        // Without the file itself, nothing is outdated.
        let found = overlap(&names(&[short, long]), &markers);
        assert_eq!(found.hidden, names(&[short]));
        assert_eq!(found.outdated, names(&[]));
    }

    #[test]
    fn files_are_replaced_once_the_other_is_there() {
        let parts = BTreeSet::from([
            "a-00000000000000000010-00000000000000000020.parquet".to_string(),
            "b-00000000000000000010-00000000000000000020.parquet".to_string(),
        ]);
        let (file, marker) = compacted(&parts);
        let within = "a-00000000000000000012-00000000000000000015.parquet";
        let mut files: BTreeSet<&str> = parts.iter().map(String::as_str).collect();
        files.insert(within);
        let markers = [(
            marker,
            Replaces {
                replaces: parts.clone(),
                ..Replaces::default()
            },
        )];
        assert_eq!(overlap(&files, &markers).hidden, names(&[within]));
        let all = files.clone();
        files.insert(&file);
        assert_eq!(overlap(&files, &markers).hidden, all);
        let files = names(&[&file, within]);
        assert_eq!(overlap(&files, &markers).hidden, names(&[within]));
    }
}
