//! What other programs see of a batch.
use std::{collections::HashMap, sync::Arc};

use arrow_array::{
    Array as _, DictionaryArray, RecordBatch, StructArray,
    cast::AsArray as _,
    types::{ArrowDictionaryKeyType, Int32Type, UInt8Type, UInt16Type, UInt32Type, UInt64Type},
};
use arrow_ipc::{reader::StreamReader, writer::StreamWriter};
use arrow_schema::{DataType, Field, Fields, Schema};

use super::*;

/// Writes the message of the schema to this file.
const WRITE: &str = "PODTRACE_WRITE_SCHEMA";

fn field(name: &str, kind: DataType) -> Field {
    Field::new(name, kind, false)
}

fn dictionary(name: &str, key: DataType, fields: Vec<Field>) -> Field {
    let value = DataType::Struct(Fields::from(fields));
    field(name, DataType::Dictionary(Box::new(key), Box::new(value)))
}

fn schema(base_ns: u64) -> Schema {
    let tap = vec![
        field("interface", DataType::UInt32),
        field("direction", DataType::UInt8),
        field("flags", DataType::UInt8),
        field("vlan_tci", DataType::UInt16),
        field("link", DataType::UInt16),
        field("cgroup", DataType::UInt64),
    ];
    let head = vec![
        field("bytes", DataType::Binary),
        field("captured", DataType::UInt32),
        field("ttl", DataType::UInt8),
        field("checksum", DataType::UInt16),
    ];
    let body = vec![
        field("bytes", DataType::Binary),
        field("length", DataType::UInt32),
        field("gso_segments", DataType::UInt16),
    ];
    let fields = vec![
        field("gap_ns", DataType::Int32),
        dictionary("tap", DataType::UInt8, tap),
        dictionary("head", DataType::UInt16, head),
        dictionary("body", DataType::UInt16, body),
    ];
    let metadata = HashMap::from([
        ("podtrace.version".to_owned(), "1".to_owned()),
        ("podtrace.base_ns".to_owned(), format!("{base_ns:020}")),
    ]);
    Schema::new_with_metadata(fields, metadata)
}

fn values<K: ArrowDictionaryKeyType>(batch: &RecordBatch, column: &str) -> StructArray {
    let column = batch.column_by_name(column).unwrap();
    let column: &DictionaryArray<K> = column.as_dictionary();
    column.values().as_struct().clone()
}

#[test]
fn batch_is_a_stream_of_arrow() {
    if let Some(path) = std::env::var_os(WRITE) {
        let mut out = Vec::new();
        drop(StreamWriter::try_new(&mut out, &Arc::new(schema(0))).unwrap());
        std::fs::write(path, out).unwrap();
    }
    // An IPv4 packet with a wrong checksum, then the same behind a router, cut.
    let mut first = Owned {
        captured: vec![2; 12],
        ..example()
    };
    first
        .captured
        .extend([8, 0, 0x45, 0, 0, 84, 1, 2, 0, 0, 64, 1, 0, 0]);
    first.captured.extend([7; 72]);
    let mut second = first.clone();
    second.ts_ns += 5;
    second.captured[22] = 63;
    second.captured.truncate(60);
    let [message] = encode([&first, &second]).try_into().unwrap();
    let plain = zstd::decode_all(&message[..]).unwrap();

    let mut reader = StreamReader::try_new(&plain[..], None).unwrap();
    assert_eq!(*reader.schema(), schema(first.ts_ns));
    let batch = reader.next().unwrap().unwrap();
    assert!(reader.next().is_none());
    let gaps = batch.column(0).as_primitive::<Int32Type>();
    assert_eq!(gaps.values(), &[0, 5]);

    let taps = values::<UInt8Type>(&batch, "tap");
    let number = |name| taps.column_by_name(name).unwrap();
    assert_eq!(
        number("interface").as_primitive::<UInt32Type>().values(),
        &[3]
    );
    assert_eq!(
        number("cgroup").as_primitive::<UInt64Type>().values(),
        &[9 << 32]
    );
    assert_eq!(
        number("vlan_tci").as_primitive::<UInt16Type>().values(),
        &[42]
    );

    let heads = values::<UInt16Type>(&batch, "head");
    let bytes = heads.column(0).as_binary::<i32>();
    assert_eq!(
        (bytes.value(0), bytes.value(1)),
        (&first.captured[..14], &first.captured[..14])
    );
    let captured = heads.column(1).as_primitive::<UInt32Type>();
    assert_eq!(captured.values(), &[u32::MAX, 60]);
    assert_eq!(
        heads.column(2).as_primitive::<UInt8Type>().values(),
        &[64, 63]
    );

    let bodies = values::<UInt16Type>(&batch, "body");
    assert_eq!(bodies.len(), 1);
    assert_eq!(
        bodies.column(1).as_primitive::<UInt32Type>().values(),
        &[84]
    );
    let body = bodies.column(0).as_binary::<i32>().value(0);
    assert_eq!((body[8], body[10..12].to_vec()), (0, vec![0, 0]));
    assert_eq!(
        (&body[..8], &body[12..]),
        (&first.captured[14..22], &first.captured[26..])
    );
}
