//! Both attach methods.

use podtrace::probe::AttachMethod;

use super::tracer::run;

/// Calls `check` with each value of `--attach` that this kernel supports. A kernel without
/// TCX must refuse `--attach tcx` and name the alternative.
pub(super) fn each_attach_method(mut check: impl FnMut(&'static str)) {
    check("clsact");
    if AttachMethod::best() == AttachMethod::Tcx {
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
