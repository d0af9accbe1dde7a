//! Kernel modules, in the order in which they can be loaded.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, bail};

use crate::{cmd::show, files::below};

/// The modules that nodes, labs and podtrace use, if the kernel has them as modules.
const WANTED: &[&str] = &[
    "veth",
    "bridge",
    "br_netfilter",
    "vxlan",
    "geneve",
    "ipip",
    "8021q",
    "dummy",
    "tun",
    "overlay",
    "sch_ingress",
    "sch_tbf",
    "sch_netem",
    "sch_fq_codel",
    "cls_bpf",
    "cls_flower",
    "cls_matchall",
    "cls_u32",
    "act_bpf",
    "act_gact",
    "act_mirred",
    "nf_tables",
    "nf_conntrack",
    "nf_conntrack_netlink",
    "nft_chain_nat",
    "nft_compat",
    "nft_ct",
    "nft_fib_inet",
    "nft_limit",
    "nft_log",
    "nft_masq",
    "nft_nat",
    "nft_numgen",
    "nft_redir",
    "nft_reject_inet",
    "xt_addrtype",
    "xt_comment",
    "xt_conntrack",
    "xt_mark",
    "xt_MASQUERADE",
    "xt_multiport",
    "xt_nat",
    "xt_statistic",
    "xt_tcpudp",
];

/// A module, in the kernel's form.
pub(super) struct Module {
    /// With underscores, as in the kernel.
    pub(super) name: String,
    pub(super) content: Vec<u8>,
}

/// The wanted modules below a folder and their dependencies, each after its own.
pub(super) fn wanted(folder: &Path) -> Result<Vec<Module>> {
    let files: BTreeMap<_, _> = below(folder)?
        .into_iter()
        .filter_map(|file| Some((module_name(&file)?, file)))
        .collect();
    let mut closure = Closure {
        files: &files,
        seen: BTreeSet::new(),
        ordered: Vec::new(),
    };
    for name in WANTED {
        closure.add(name)?;
    }
    Ok(closure.ordered)
}

struct Closure<'a> {
    files: &'a BTreeMap<String, PathBuf>,
    seen: BTreeSet<String>,
    ordered: Vec<Module>,
}

impl Closure<'_> {
    /// Adds a module after its dependencies. A missing one is built in, or this kernel lacks
    /// it, which the tests detect.
    fn add(&mut self, name: &str) -> Result<()> {
        let Some(file) = self.files.get(name) else {
            return Ok(());
        };
        if !self.seen.insert(name.to_owned()) {
            return Ok(());
        }
        let content = content(file)?;
        let depends = depends(&content)
            .with_context(|| format!("{} does not tell what it depends on", file.display()))?;
        for name in depends {
            self.add(&name)?;
        }
        self.ordered.push(Module {
            name: name.to_owned(),
            content,
        });
        Ok(())
    }
}

/// `nf-nat.ko.xz` is the module `nf_nat`.
fn module_name(file: &Path) -> Option<String> {
    let name = file.file_name()?.to_str()?;
    let name = name.strip_suffix(".xz").unwrap_or(name);
    Some(name.strip_suffix(".ko")?.replace('-', "_"))
}

fn content(file: &Path) -> Result<Vec<u8>> {
    if file.extension().is_some_and(|extension| extension == "xz") {
        let mut xz = Command::new("xz");
        xz.args(["--decompress", "--stdout"]).arg(file);
        let output = xz.stderr(Stdio::inherit()).output();
        let output = output.with_context(|| format!("cannot run {}", show(&xz)))?;
        if !output.status.success() {
            bail!("{} failed: {}", show(&xz), output.status);
        }
        return Ok(output.stdout);
    }
    fs::read(file).with_context(|| format!("cannot read {}", file.display()))
}

/// The names in the `depends=` of a module's `.modinfo` section, which consists of strings
/// that end with a zero.
fn depends(module: &[u8]) -> Option<Vec<String>> {
    let names = module
        .split(|byte| *byte == 0)
        .find_map(|entry| entry.strip_prefix(b"depends="))?;
    let names = str::from_utf8(names).ok()?.split(',');
    let names = names.filter(|name| !name.is_empty());
    Some(names.map(|name| name.replace('-', "_")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn depends_is_read_from_modinfo() {
        let module = b"\x7fELF\0\0license=GPL\0depends=udp_tunnel,ip6-udp-tunnel\0name=vxlan\0";
        let expected = ["udp_tunnel", "ip6_udp_tunnel"].map(str::to_owned);
        assert_eq!(depends(module), Some(expected.to_vec()));
        assert_eq!(depends(b"license=GPL\0depends=\0"), Some(Vec::new()));
        assert_eq!(depends(b"license=GPL\0it depends=on\0"), None);
    }

    #[test]
    fn module_is_named_by_its_file() {
        let name = |file| module_name(Path::new(file));
        assert_eq!(name("/m/nf-nat.ko.xz"), Some("nf_nat".to_owned()));
        assert_eq!(name("/m/veth.ko"), Some("veth".to_owned()));
        assert_eq!(name("/m/modules.order"), None);
    }

    #[test]
    fn dependencies_go_first_and_once() {
        let folder = tempfile::tempdir().unwrap();
        for (file, content) in [
            ("veth.ko", "depends=\0"),
            ("vxlan.ko", "depends=udp_tunnel\0"),
            ("geneve.ko", "depends=udp_tunnel\0"),
            ("udp_tunnel.ko", "depends=\0"),
            ("unwanted.ko", "depends=\0"),
        ] {
            fs::write(folder.path().join(file), content).unwrap();
        }
        let modules = wanted(folder.path()).unwrap();
        let names: Vec<_> = modules.iter().map(|module| module.name.as_str()).collect();
        assert_eq!(names, ["veth", "udp_tunnel", "vxlan", "geneve"]);
    }
}
