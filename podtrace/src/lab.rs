//! The lab: a flannel network of several nodes in network namespaces.
