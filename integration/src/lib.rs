//! The test world: servers, keys and faults that runs are tried on.
