//! Both ways of attaching.

use podtrace::probe::Way;

use super::tracer::run;

/// Checks something with each way of attaching, `--attach` and this. A kernel without
/// TCX says so to whom asks for it.
pub(super) fn each_way(mut check: impl FnMut(&'static str)) {
    check("clsact");
    if Way::best() == Way::Tcx {
        check("tcx");
    } else {
        asking_for_tcx_names_what_lacks();
    }
}

fn asking_for_tcx_names_what_lacks() {
    let output = run(&["trace", "--attach", "tcx", "--duration", "1s"]);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(stderr.contains("this kernel lacks TCX"), "{stderr}");
    assert!(stderr.contains("--attach clsact works here"), "{stderr}");
    assert_eq!(output.status.code(), Some(2), "{stderr}");
}
