//! The one integration binary: whole runs on real parts.

#[cfg(test)]
mod afterwards;
#[cfg(test)]
mod bad_input;
#[cfg(test)]
mod chaos;
#[cfg(test)]
mod checkpoints;
#[cfg(test)]
mod connections;
#[cfg(test)]
mod contract;
#[cfg(test)]
mod credentials;
#[cfg(test)]
mod demo;
#[cfg(test)]
mod engines;
#[cfg(test)]
mod existing;
#[cfg(test)]
mod heard;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod job;
#[cfg(test)]
mod laws;
#[cfg(test)]
mod linters;
#[cfg(test)]
mod manifest;
#[cfg(test)]
mod ministack;
#[cfg(test)]
mod packages;
#[cfg(test)]
mod recovery;
#[cfg(test)]
mod samples;
#[cfg(test)]
mod secrecy;
#[cfg(test)]
mod source;
#[cfg(test)]
mod spark;
#[cfg(test)]
mod states;
