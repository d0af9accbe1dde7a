use ::parquet::{
    file::reader::{FileReader, SerializedFileReader},
    record::Field,
    schema::printer::print_schema,
};
use bytes::Bytes;

use super::*;
use crate::{
    packet::Transport,
    path::{
        Path, RoundTrip,
        builder::tests::{SYN_ACK, path, path_to_vtep},
    },
    world::{World, fixture::world},
};

const EPOCH_NS: i128 = 1_700_000_000_000_000_000;

fn csv(paths: &[Path], world: &World) -> Vec<u8> {
    let mut rows = CsvRows::new(Vec::new(), EPOCH_NS).unwrap();
    for path in paths {
        rows.write(path, world).unwrap();
    }
    rows.finish().unwrap()
}

fn parquet(paths: &[Path], world: &World, per_group: usize) -> SerializedFileReader<Bytes> {
    let mut rows = ParquetRows::with_groups_of(per_group, Vec::new(), EPOCH_NS).unwrap();
    for path in paths {
        rows.write(path, world).unwrap();
    }
    SerializedFileReader::new(Bytes::from(rows.finish().unwrap())).unwrap()
}

/// The fields of a CSV file by row and name; empty ones are `None`.
fn csv_fields(file: &[u8]) -> Vec<Vec<(String, Option<String>)>> {
    let mut reader = ::csv::Reader::from_reader(file);
    let names: Vec<String> = reader.headers().unwrap().iter().map(Into::into).collect();
    let row = |record: ::csv::StringRecord| {
        let values = record
            .iter()
            .map(|field| (!field.is_empty()).then(|| field.to_string()));
        names
            .iter()
            .cloned()
            .zip(values.collect::<Vec<_>>())
            .collect()
    };
    reader
        .records()
        .map(|record| row(record.unwrap()))
        .collect()
}

/// The fields of a Parquet file by row and name; empty ones are `None`.
fn parquet_fields(file: &SerializedFileReader<Bytes>) -> Vec<Vec<(String, Option<String>)>> {
    let text = |field: &Field| match field {
        Field::Null => None,
        Field::Str(text) => Some(text.clone()),
        Field::Long(number) => Some(number.to_string()),
        Field::Int(number) => Some(number.to_string()),
        Field::Bool(flag) => Some(flag.to_string()),
        other => panic!("unexpected {other:?}"),
    };
    let rows = file.get_row_iter(None).unwrap();
    rows.map(|row| {
        let row = row.unwrap();
        let fields = row.get_column_iter();
        fields
            .map(|(name, field)| (name.clone(), text(field)))
            .collect()
    })
    .collect()
}

/// Packets that together have a value in every column except the VLAN's.
fn all_kinds() -> Vec<Path> {
    let mut echo = path(2);
    echo.packet.transport = Transport::Echo {
        reply: true,
        id: 23,
        sequence: 1,
    };
    echo.round_trip = Some(RoundTrip {
        at: vec![(0, 64_200)],
        is_whole: true,
    });
    let mut tcp = path_to_vtep(3);
    tcp.packet.transport = SYN_ACK;
    vec![path(1), echo, tcp]
}

#[test]
fn both_formats_have_the_same_rows() {
    let (world, paths) = (world(), all_kinds());
    let mut from_csv = csv_fields(&csv(&paths, &world));
    for row in &mut from_csv {
        row.retain(|(name, _)| name != "time");
    }
    assert_eq!(from_csv.len(), 15);
    for per_group in [1, 4, 15, 100] {
        let file = parquet(&paths, &world, per_group);
        assert_eq!(file.num_row_groups(), 15_usize.div_ceil(per_group));
        assert_eq!(parquet_fields(&file), from_csv, "{per_group} rows a group");
    }
}

#[test]
fn row_is_as_documented() {
    let (world, paths) = (world(), all_kinds());
    let rows = csv_fields(&csv(&paths, &world));
    // The second hop of the TCP segment.
    let shown: Vec<_> = rows[11]
        .iter()
        .map(|(name, value)| format!("{name}: {}", value.as_deref().unwrap_or("-")))
        .collect();
    insta::assert_snapshot!(shown.join("\n"), @r"
    packet: 3
    time: 2023-11-14T22:13:20.000002000Z
    time_ns: 1700000000000002000
    hop: 2
    hops: 5
    delta_ns: 1000
    node: worker1
    pod: -
    interface: veth1
    ifindex: 2
    direction: ingress
    role: veth
    socket_owner: -
    socket_pod: -
    socket_container: -
    socket_cgroup: -
    bytes: 46
    ttl: 64
    tunnel_kind: vxlan
    tunnel_vni: 1
    tunnel_key: -
    tunnel_source: 192.168.77.11
    tunnel_destination: 192.168.77.12
    vlan: -
    what: TCP 40000 > 80 [SYN ACK] seq 4294967295 ack 7 len 100
    length: 32
    protocol: udp
    ip_protocol: 17
    source: 10.244.1.2
    source_port: 40000
    destination: 10.244.1.3
    destination_port: 80
    payload_bytes: 100
    tcp_flags: SYN ACK
    tcp_sequence: 4294967295
    tcp_acknowledgment: 7
    icmp_type: -
    icmp_code: -
    icmp_id: -
    icmp_sequence: -
    source_pod: default/mypod1
    source_container: container1
    source_node: -
    source_on: -
    sender_owner: container
    sender_pod: default/mypod1
    sender_container: container1
    sender_cgroup: -
    destination_pod: default/mypod2
    destination_container: container2
    destination_node: -
    destination_on: -
    outcome: left_for_vtep
    vtep: 192.168.77.12
    ambiguous: true
    incomplete: false
    duration_ns: 4000
    rtt_ns: -
    segments: -
    segment_bytes: -
    part_of: -
    part_segments: -
    copy_of: -
    late_of: -
    translation_kind: -
    translation_source: -
    translation_source_port: -
    translation_destination: -
    translation_destination_port: -
    refusal_packet: -
    refusal_reason: -
    refusal_icmp_type: -
    refusal_icmp_code: -
    refusal_mtu: -
    refusal_gateway: -
    refusal_address: -
    refusal_pod: -
    refusal_node: -
    about: -
    rounds: -
    aside: -
    also_seen_by: -
    tunnel_fragment: -
    fragment_of: -
    lost_with_first: -
    translation_service: -
    translation_service_port: -
    refusal_tunnel: -
    refusal_tunnel_port: -
    wire_segments: -
    drop_reason: -
    drop_function: -
    drop_device: -
    drop_pod: -
    drop_node: -
    drop_rule: -
    ");
}

#[test]
fn parquet_has_logical_types_and_metadata() {
    let file = parquet(&[path(1)], &world(), 100);
    let metadata = file.metadata().file_metadata();
    let mut schema = Vec::new();
    print_schema(&mut schema, metadata.schema());
    let schema = String::from_utf8(schema).unwrap();
    for line in [
        "REQUIRED INT64 packet;",
        "REQUIRED INT64 time_ns (TIMESTAMP(NANOS,true));",
        "REQUIRED INT32 hop;",
        "OPTIONAL BYTE_ARRAY pod (STRING);",
        "REQUIRED BOOLEAN ambiguous;",
    ] {
        assert!(schema.contains(line), "{line} in {schema}");
    }
    let keys = metadata.key_value_metadata().unwrap();
    let keys: Vec<_> = keys
        .iter()
        .map(|pair| (pair.key.as_str(), pair.value.as_deref()))
        .collect();
    let expected = [
        ("podtrace.schema", Some("1")),
        ("podtrace.version", Some(env!("CARGO_PKG_VERSION"))),
    ];
    assert_eq!(keys, expected);
}

#[test]
fn no_rows_are_a_whole_file_too() {
    let world = world();
    let file = parquet(&[], &world, 100);
    assert_eq!((file.num_row_groups(), parquet_fields(&file).len()), (0, 0));
    let header = csv(&[], &world);
    assert_eq!(header.iter().filter(|byte| **byte == b'\n').count(), 1);
}

#[test]
fn hostile_names_are_only_text() {
    let mut world = world();
    let names = [
        "=cmd|'/c calc'!A1",
        "a\"b,c\nd\re",
        "\u{1b}[31m\u{202e}x",
        "@x",
        "ü,\"",
    ];
    for (number, name) in (0..).zip(names) {
        let mut point = world.tap_points.get(number).unwrap().clone();
        point.name = name.into();
        world.tap_points.set(number, point);
    }
    let mut path = path(1);
    for (number, hop) in (0..).zip(&mut path.hops) {
        hop.interface = number;
    }
    let interfaces = |rows: Vec<Vec<(String, Option<String>)>>| -> Vec<String> {
        let fields = rows.into_iter().flatten();
        let interfaces = fields.filter(|(name, _)| name == "interface");
        interfaces.filter_map(|(_, value)| value).collect()
    };
    let paths = [path];
    let in_csv = interfaces(csv_fields(&csv(&paths, &world)));
    let in_parquet = interfaces(parquet_fields(&parquet(&paths, &world, 100)));
    let safe = [
        "=cmd|'/c calc'!A1",
        "a\"b,c\u{fffd}d\u{fffd}e",
        "\u{fffd}[31m\u{fffd}x",
        "@x",
        "ü,\"",
    ];
    assert_eq!(in_parquet, safe);
    let neutral = safe.map(|name| match name.starts_with(['=', '@']) {
        true => format!("'{name}"),
        false => name.to_string(),
    });
    assert_eq!(in_csv, neutral);
}

#[test]
fn failing_writer_is_reported() {
    struct Full;
    impl io::Write for Full {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::StorageFull.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let world = world();
    let mut rows = CsvRows::new(Full, EPOCH_NS).unwrap();
    let written = rows
        .write(&path(1), &world)
        .and_then(|()| rows.finish().map(drop));
    assert!(written.is_err());
    let written = ParquetRows::new(Full, EPOCH_NS).and_then(|mut rows| {
        rows.write(&path(1), &world)?;
        rows.finish().map(drop)
    });
    assert!(written.is_err());
}

/// Times beyond the range of a format become its first or last one, and are counted.
#[test]
fn times_end_where_a_format_ends() {
    let world = world();
    let (parquet_last, last) = (i64::MAX.to_string(), u64::MAX.to_string());
    for (epoch_ns, in_csv, in_parquet, is_beyond) in [
        (i128::MIN, "0", "0", false),
        (-1_000_000_000_000_000_000, "0", "0", false),
        (
            i128::from(i64::MAX) + 5,
            "9223372036854775812",
            &*parquet_last,
            true,
        ),
        (u64::MAX.into(), &*last, &*parquet_last, true),
        (i128::MAX, &*last, &*parquet_last, true),
    ] {
        let mut path = path(1);
        path.hops.truncate(1);
        path.hops[0].ts_ns = 0;
        let mut rows = CsvRows::new(Vec::new(), epoch_ns).unwrap();
        rows.write(&path, &world).unwrap();
        let rows = csv_fields(&rows.finish().unwrap());
        let time = |rows: &[Vec<(String, Option<String>)>]| {
            let mut fields = rows[0].iter();
            fields
                .find(|(name, _)| name == "time_ns")
                .unwrap()
                .1
                .clone()
        };
        assert_eq!(time(&rows).as_deref(), Some(in_csv));
        let mut rows = ParquetRows::new(Vec::new(), epoch_ns).unwrap();
        rows.write(&path, &world).unwrap();
        assert_eq!(rows.beyond(), u64::from(is_beyond));
        let file = SerializedFileReader::new(Bytes::from(rows.finish().unwrap())).unwrap();
        assert_eq!(time(&parquet_fields(&file)).as_deref(), Some(in_parquet));
    }
}
