//! Clocks of nodes as the user gives them.
use std::path::Path;

use super::{notices, run::Files};

/// The recordings of two nodes with the same clock.
fn recorded() -> [String; 2] {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/docs");
    ["worker1.pcapng", "worker2.pcapng"].map(|name| folder.join(name).to_str().unwrap().to_owned())
}

/// Packets that both nodes saw rule most offsets out.
#[test]
fn offset_that_packets_rule_out_is_told() {
    let (files, [one, two]) = (Files::new(), recorded());
    for (offset, is_wrong) in [("0", false), ("1us", false), ("2s", true), ("-5h", true)] {
        let offset = format!("worker2={offset}");
        let lines = files.json(&["--clock-offset", &offset, &one, &two]);
        let told: Vec<_> = notices(&lines)
            .into_iter()
            .filter(|notice| notice.starts_with("clock of worker2: "))
            .collect();
        assert_eq!(told.len(), 1, "{told:?}");
        let says = told[0].contains("as given, which cannot be right: ");
        assert_eq!(says, is_wrong, "{offset}: {told:?}");
        assert_eq!(told[0].contains("(measured: "), is_wrong, "{told:?}");
    }
}

/// Its times are those that the others are set to.
#[test]
fn clock_of_the_first_file_is_not_set() {
    let (files, [one, two]) = (Files::new(), recorded());
    let with = |offset| files.run(&["replay", "--clock-offset", offset, &one, &two]);
    with("worker1=3s").refuses("the clock of worker1, that of the first file\nhint: ");
    assert_eq!(with("worker1=0").code, Some(0));
    with("nosuch=1s").refuses("no file is of node nosuch\nhint: there is worker1, worker2");
}
