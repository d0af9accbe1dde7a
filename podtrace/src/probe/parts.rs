//! The programs and maps of a loaded object, by their names.
use aya::{
    Ebpf,
    maps::{Map, MapData, MapError},
    programs::Program,
};

use super::ProbeError;

/// A program of this name and type.
pub(super) fn program<'a, P>(
    ebpf: &'a mut Ebpf,
    name: &'static str,
) -> Result<&'a mut P, ProbeError>
where
    &'a mut P: TryFrom<&'a mut Program>,
{
    ebpf.program_mut(name)
        .and_then(|program| program.try_into().ok())
        .ok_or(ProbeError::Missing(name))
}

/// An array of this name, which stays in the object.
pub(super) fn array<'a>(ebpf: &'a Ebpf, name: &'static str) -> Result<&'a MapData, ProbeError> {
    match ebpf.map(name) {
        Some(Map::Array(map)) => Ok(map),
        _ => Err(ProbeError::Missing(name)),
    }
}

/// Takes a map of this name and type out of the object.
pub(super) fn take<T>(ebpf: &mut Ebpf, name: &'static str) -> Result<T, ProbeError>
where
    T: TryFrom<Map, Error = MapError>,
{
    let map = ebpf.take_map(name).ok_or(ProbeError::Missing(name))?;
    T::try_from(map).map_err(|source| ProbeError::Map {
        operation: format!("open map {name}"),
        source,
    })
}
