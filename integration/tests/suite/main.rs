//! The one integration binary: whole runs on real parts.

mod laws;
